import type { StageId } from '../domain/route.js';
import type { Slice } from './slice.js';

/** An activity of several steps, such as preparing a table. It reports its step, and stops only between two steps. */
export interface Steps {
  /** Aborted when the activity is cancelled, given up, or makes no progress: no further step may begin. */
  readonly signal: AbortSignal;
  /** Shown in `pendingActivities`; keeps the activity alive. */
  say(doing: string): void;
  /** @throws the signal's reason */
  begin(step: string): void;
}

export function stepsOf(slice: Slice, stage: StageId): Steps {
  const signal = AbortSignal.any([slice.ending, slice.signal]);
  const say = (moved: string): void => slice.progress({ stage, rows: 0, batches: 0, moved, waiting: 0, lagSeconds: 0 });
  return {
    signal,
    say,
    begin(step) {
      signal.throwIfAborted();
      say(step);
    },
  };
}
