import type { Checkpoint, SliceReceipt } from '../src/domain/receipt.js';
import type { StageId } from '../src/domain/route.js';
import type { TableState } from './table-state.js';

/** Sums over all runs of the workflow, and what the last slice said. */
export interface StageTotals {
  readonly slices: number;
  readonly batches: number;
  readonly rows: number;
  readonly bytes: number;
  readonly checkpoint: Checkpoint | null;
  /** What the last slice that moved anything moved, and when it ended. */
  readonly moved: string;
  readonly movedAt: string | null;
  /** As of the end of the last slice. */
  readonly waiting: number;
  readonly lagSeconds: number;
  readonly endedAt: string | null;
}

export const NO_TOTALS: StageTotals = {
  slices: 0,
  batches: 0,
  rows: 0,
  bytes: 0,
  checkpoint: null,
  moved: '',
  movedAt: null,
  waiting: 0,
  lagSeconds: 0,
  endedAt: null,
};

export function totalsOf(state: Pick<TableState, 'stages'>, stage: StageId): StageTotals {
  return state.stages[stage] ?? NO_TOTALS;
}

/** Adds what a slice has done. */
export function addSlice(totals: StageTotals, receipt: SliceReceipt, at: string): StageTotals {
  const moves = receipt.moved !== '';
  return {
    slices: totals.slices + 1,
    batches: totals.batches + receipt.batches,
    rows: totals.rows + receipt.rows,
    bytes: totals.bytes + receipt.bytes,
    checkpoint: later(totals.checkpoint, receipt.checkpoint),
    moved: moves ? receipt.moved : totals.moved,
    movedAt: moves ? at : totals.movedAt,
    waiting: receipt.waiting,
    lagSeconds: receipt.lagSeconds,
    endedAt: at,
  };
}

/** A checkpoint never goes back, even if a slice reports an older one: a ledger that was set back must be noticed. */
function later(known: Checkpoint | null, reported: Checkpoint): Checkpoint {
  return known !== null && known.batch > reported.batch ? known : reported;
}
