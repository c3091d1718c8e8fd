import { copySpec, type LoaderSpec, type StageId, type StageSpec } from './route.js';

/** Where a range of a topic begins or ends, as people write it. */
export type ReplayBound =
  | { readonly kind: 'beginning' }
  /** By partition; by `*` for a topic of one partition. Decimal. */
  | { readonly kind: 'offsets'; readonly offsets: Readonly<Record<string, string>> }
  /** ISO 8601. */
  | { readonly kind: 'time'; readonly at: string };

/** What is asked of a replay. */
export interface ReplayTerms {
  readonly from: string;
  /** Absent: up to what is in the topic at the request. */
  readonly to?: string | undefined;
  /** Whose target is filled; the first loader's when absent. */
  readonly loader?: string | undefined;
  /** A fresh table, `table` or `database.table`, in place of the loader's target. */
  readonly into?: string | undefined;
  /** With `into`: without a copy, so that the table holds what the topic holds. */
  readonly topicOnly?: boolean | undefined;
}

/** By partition, decimal: the first offset that is read, and the first one that is not. */
export type TopicOffsets = Readonly<Record<string, string>>;

/** `position` of a replay in the ledger. */
export interface ReplayPosition {
  readonly offsets: TopicOffsets;
  readonly headers: Readonly<Record<string, string>>;
  readonly highest?: string;
  readonly requestId: string;
  readonly start: TopicOffsets;
  /** Null where it depends on a copy that is not done yet: then it ends where the copy is complete. */
  readonly end: TopicOffsets | null;
  /** What it writes to: a loader of the route, or one of its own whose target is a fresh table. */
  readonly loader: LoaderSpec;
}

/** `replay-1`: the number of a replay as the name of a loader. */
const REPLAY_NAME = /^replay-[0-9]+$/u;

export function isReplayName(name: string): boolean {
  return REPLAY_NAME.test(name);
}

/** @param name `replay-1` @returns `replay:1` */
export function replayStage(name: string): StageId {
  return name.replace('-', ':');
}

/** @returns `replay-1` for `replay:1` */
export function replayName(stage: StageId): string {
  return stage.replace(':', '-');
}

export function isReplay(stage: StageId): boolean {
  return stage.startsWith('replay:');
}

/** The stages of a replay: its copy, where it has one, and itself. */
export function replaySpecs(stage: StageId, copies: boolean): readonly StageSpec[] {
  const replay: StageSpec = { id: stage, activity: 'replaySlice', queue: 'producer', runs: 'once' };
  return copies ? [copySpec(replayName(stage)), replay] : [replay];
}

/** @returns undefined for what is none: `beginning`, `120`, `0:120,1:98`, `2026-01-31T12:00:00Z` */
export function parseBound(text: string): ReplayBound | undefined {
  const word = text.trim();
  if (word === 'beginning') return { kind: 'beginning' };
  if (/^\d{1,18}$/u.test(word)) return { kind: 'offsets', offsets: { '*': String(BigInt(word)) } };
  if (/^\d+:\d{1,18}(?:,\d+:\d{1,18})*$/u.test(word)) {
    const pairs = word.split(',').map((pair) => pair.split(':').map((part) => String(BigInt(part))));
    return { kind: 'offsets', offsets: Object.fromEntries(pairs) as Record<string, string> };
  }
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/u.test(word)) return undefined;
  const at = Date.parse(word);
  return Number.isNaN(at) ? undefined : { kind: 'time', at: new Date(at).toISOString() };
}

export const BOUND_FORMS = 'an offset (120), offsets by partition (0:120,1:98) or a time (2026-01-31T12:00:00Z)';
