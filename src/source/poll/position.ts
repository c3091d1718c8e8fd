import type { RangeBatch } from '../../domain/batch.js';
import type { StageRow } from '../../ledger/stages.js';
import type { GapRange, GivenUpIds } from './gap-journal.js';

/** Where a poll stands. */
export interface PollPosition {
  /** Every id up to here is loaded, in `gaps`, or given up. Decimal; absent before the first batch. */
  readonly cursor?: string;
  /** The highest id that was loaded: ids that were rolled back may lie between it and the cursor. Decimal. */
  readonly highest?: string;
  readonly gaps?: readonly GapRange[];
  readonly givenUp?: GivenUpIds;
}

/** The name of a batch. What it leaves out between the cursor before it and `upTo` becomes gaps when it is confirmed. */
export interface PollBatch extends RangeBatch {
  /** The cursor after it. Decimal. */
  readonly upTo: string;
  /** When its ids were looked for, Unix milliseconds by the clock of the source. */
  readonly at: number;
}

export type PollRow = StageRow<PollPosition, PollBatch>;
