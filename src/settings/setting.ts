import type { ValueKind } from './value-kind.js';

export const GROUPS = ['PostgreSQL', 'Kafka', 'ClickHouse', 'Temporal', 'pg2click', 'Worker'] as const;
export type Group = (typeof GROUPS)[number];

/** One row of the table of settings: `T` is what reading it gives. */
export interface Setting<T = unknown> {
  readonly group: Group;
  readonly kind: ValueKind<unknown>;
  /** As one would write it; undefined: nothing. */
  readonly default: string | undefined;
  readonly unit: string | undefined;
  /** One sentence, for `.env`, the documentation and `--help`. */
  readonly description: string;
  /** Its value is never shown; it may come from the file that `NAME_FILE` names. */
  readonly secret: boolean;
  /** Shown instead of a default that is not one value. */
  readonly defaultWords: string | undefined;
  /** Carries `T` for the compiler only. */
  readonly type?: T;
}

interface Told {
  readonly description: string;
  readonly default?: string;
  readonly unit?: string;
  readonly secret?: boolean;
  readonly defaultWords?: string;
}

/** A setting with a default always has a value. */
export function setting<T>(group: Group, kind: ValueKind<T>, told: Told & { readonly default: string }): Setting<T>;
export function setting<T>(group: Group, kind: ValueKind<T>, told: Told): Setting<T | undefined>;
export function setting<T>(group: Group, kind: ValueKind<T>, told: Told): Setting<T | undefined> {
  return {
    group,
    kind,
    default: told.default,
    unit: told.unit,
    description: told.description,
    secret: told.secret ?? false,
    defaultWords: told.defaultWords,
  };
}
