import { APPEND_ONLY_CAPTURES, FOREIGN_TOPIC_CAPTURES } from '../../src/domain/route.js';
import type { RouteChoice } from '../../src/domain/route-choice.js';
import { titleOf } from './ways.js';

/** Of Debezium's slot, and in front of its topics. */
export const DEBEZIUM = 'night';

/** A table of the night, which began with one of the ways. */
export interface NightTable {
  /** In schema public. */
  readonly name: string;
  readonly choice: RouteChoice;
  readonly title: string;
  /** Its capture sees inserts only. */
  readonly appendOnly: boolean;
  readonly isLog: boolean;
  readonly isForeign: boolean;
  /** In ClickHouse. A log that is added again goes on in another table. */
  target: string;
  /** As `status` last said; it may be changed while it runs. */
  way: string;
  /** A fault or the attendant is at it: nobody else is. */
  busy: boolean;
  /** Columns that were added in the night. */
  readonly extras: string[];
  /** Rows are in it that its captures or ClickHouse refuse: until they are corrected. */
  hasRefused: boolean;
  /** A park until then is what was asked for. */
  expects: { readonly until: number; readonly why: string } | undefined;
}

export function tableOf(choice: RouteChoice, index: number): NightTable {
  const name = `way_${index + 1}`;
  return {
    name,
    choice,
    title: titleOf(choice),
    appendOnly: APPEND_ONLY_CAPTURES.includes(choice.capture),
    isLog: choice.engine === 'log',
    isForeign: FOREIGN_TOPIC_CAPTURES.includes(choice.capture),
    target: name,
    way: '',
    busy: false,
    extras: [],
    hasRefused: false,
    expects: undefined,
  };
}

/** Where its live rows are in ClickHouse: a plain MergeTree and a log have no other versions of a row to leave out. */
export function viewOf({ target, choice }: NightTable): string {
  return choice.engine === 'replacing' ? `${target}_current` : target;
}

/** What the Kafka engine loads now. */
export function isByEngine({ way, choice }: NightTable): boolean {
  return way === '' ? choice.loader === 'kafka-engine' : way.includes('kafka-engine');
}
