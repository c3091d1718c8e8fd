import type { CopyReceipt, SliceReceipt } from '../../src/domain/receipt.js';
import { FIRST_ROUTE, stagesOf, type StageId } from '../../src/domain/route.js';
import type { FailureKind } from '../../src/failure/kinds.js';
import {
  initialState,
  type Prepared,
  reduce,
  type TableEvent,
  type TableState,
  type Task,
} from '../../workflows/table-state.js';

/** The clock of scripted lives. */
export const AT = '2026-01-01T00:00:00.000Z';
export const LATER = '2026-01-01T00:01:00.000Z';

export const PREPARED: Prepared = {
  id: '1',
  generation: 1,
  topic: 'default.public.orders',
  target: 'default.orders',
  key: ['id'],
  estimatedRows: 1_000,
  stages: stagesOf(FIRST_ROUTE),
};

export const COPIED: CopyReceipt = { rows: 1_000, bytes: 64_000, seconds: 0.5, position: '7' };

export function slice(stage: StageId, receipt: Partial<SliceReceipt> = {}): SliceReceipt {
  const checkpoint = { batch: 1, highest: '10' };
  return {
    stage,
    batches: 1,
    rows: 10,
    bytes: 640,
    checkpoint,
    moved: 'seq 1..10',
    waiting: 0,
    lagSeconds: 0,
    ...receipt,
  };
}

export const prepared: TableEvent = { type: 'prepared', receipt: PREPARED };
export const copied: TableEvent = { type: 'copied', receipt: COPIED };
export const paused: TableEvent = { type: 'paused', at: AT, reason: null };
export const resumed: TableEvent = { type: 'resumed' };
export const removed: TableEvent = { type: 'removed', at: AT, receipt: null };

export function sliceEnded(stage: StageId, receipt: Partial<SliceReceipt> = {}): TableEvent {
  return { type: 'sliceEnded', at: LATER, receipt: slice(stage, receipt) };
}

export function removeRequested(dropTarget = false): TableEvent {
  return { type: 'removeRequested', at: AT, dropTarget };
}

export function parked(where: Task, kind: FailureKind = 'SchemaMismatch', at = AT): TableEvent {
  return failed(where, kind, true, at);
}

export function stumbled(where: Task, kind: FailureKind = 'SinkUnavailable'): TableEvent {
  return failed(where, kind, false, AT);
}

/** A life so far. */
export function after(...events: readonly TableEvent[]): TableState {
  return events.reduce(reduce, initialState(AT));
}

function failed(where: Task, kind: FailureKind, isParked: boolean, at: string): TableEvent {
  const failure = { kind, message: `${where} met ${kind}`, remedy: 'Do something.' };
  return { type: 'failed', at, where, failure, parked: isParked };
}
