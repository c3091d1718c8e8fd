import type { KeyRange } from './chunk.js';
import { DEFAULT_PRIORITY, type CopyPriority } from './copy-priority.js';
import { isResync } from './resync.js';
import type { StageId, StageSpec } from './route.js';

/** What is asked of a backfill. */
export interface BackfillTerms {
  /** The first key, and the first one behind the last: a text, or a JSON array for a key of several columns. Absent: no bound. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** A condition in SQL, on the columns of the table. */
  readonly where?: string | undefined;
  /** Rows of the range that PostgreSQL does not have any more become tombstones. */
  readonly prune?: boolean | undefined;
  /** Whose target is filled; the first loader's when absent. */
  readonly loader?: string | undefined;
  /** All rows, into a fresh table that then takes the place of the target. */
  readonly resync?: boolean | undefined;
  /** With `resync`: how long the old table is kept, as `parseKeep` takes it. */
  readonly keep?: string | undefined;
  /** That of the table when absent. */
  readonly priority?: CopyPriority | undefined;
}

/** What a backfill reads; part of `position` of its stage in the ledger. */
export interface BackfillPosition {
  readonly requestId: string;
  readonly loader: string;
  /** Null: the whole table. */
  readonly range: KeyRange | null;
  readonly where: string | null;
  readonly prune: boolean;
}

/** A backfill or a resync. */
export function readsAgain(stage: StageId): boolean {
  return isBackfill(stage) || isResync(stage);
}

export function isBackfill(stage: StageId): boolean {
  return stage.startsWith('backfill:');
}

export function backfillSpec(stage: StageId): StageSpec {
  return { id: stage, activity: 'copyTable', queue: 'producer', runs: 'once' };
}

/** `id from 1 to 100, where a > 1, pruned`; `the whole table` */
export function describeBackfill({ from, to, where, prune, resync, keep, priority }: BackfillTerms): string {
  const turn = priority === undefined || priority === DEFAULT_PRIORITY ? [] : [`${priority} priority`];
  if (resync === true)
    return ['a fresh table in its place', ...(keep === undefined ? [] : [`the old one is kept ${keep}`]), ...turn].join(
      ', ',
    );
  const bounds = [...(from === undefined ? [] : [`from ${from}`]), ...(to === undefined ? [] : [`to ${to}`])].join(' ');
  const what = [...(bounds === '' ? [] : [bounds]), ...(where === undefined ? [] : [`where ${where}`])];
  return [what.length === 0 ? 'the whole table' : what.join(', '), ...(prune === true ? ['pruned'] : []), ...turn].join(
    ', ',
  );
}
