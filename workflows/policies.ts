import { ActivityCancellationType, proxyActivities } from '@temporalio/workflow';
import type { ActivityInterfaceFor, ActivityOptions } from '@temporalio/workflow';
import type { TaskQueues } from '../src/domain/deployment.js';
import type { ReplicationActivities } from '../src/domain/receipt.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

export const DEFAULT_SLICE_MS = 60 * SECOND;
/** Shorter ones would only fill the history; a slice costs 6 events, and 10 to 100 ms of Temporal's time. */
export const MIN_SLICE_MS = 10;
export const MAX_SLICE_MS = HOUR;
/** A slice in which nothing moves lasts this many times as long: an idle table then makes 1,700 events of history a day, not 17,000. */
export const IDLE_SLICES = 10;

/** Pause before a task starts again that failed for a transient reason outside of Temporal's own retries. */
export const RETRY_PAUSE_MS = 10 * SECOND;

/**
 * Temporal suggests continuing as new at 4,096 events. A change under way puts that off, at most
 * until here: well below the 51,200 events and 50 MB at which the server ends a workflow.
 */
export const HISTORY_LENGTH_LIMIT = 40_000;
export const HISTORY_SIZE_LIMIT = 40 * 1024 * 1024;

/**
 * Unlimited attempts: failures that a person must clear are marked as not retryable where they are thrown. The longest pause is
 * short, so that a table catches up soon after a server is back.
 */
const RETRY = { initialInterval: 250, backoffCoefficient: 2, maximumInterval: 10 * SECOND } as const;

/** A cancelled slice finishes its batch in hand: the workflow waits for it and gets its receipt. */
const COMMON = {
  retry: RETRY,
  cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
} as const satisfies ActivityOptions;

/** After this long without a heartbeat the worker counts as dead. Slices heartbeat every second, idle ones every 3.5 s. */
const SLICE_HEARTBEAT = 10 * SECOND;

/** The activities of a table with their options; a call may add a summary. */
export function tableActivities(
  sliceMs: number,
  { producer, consumer }: Pick<TaskQueues, 'producer' | 'consumer'>,
): ActivityInterfaceFor<ReplicationActivities> {
  // DDL takes seconds, but it may wait long for a lock, or for its turn behind hundreds of others. Heartbeats show a dead one.
  const short = { ...COMMON, taskQueue: producer, startToCloseTimeout: 24 * HOUR, heartbeatTimeout: MINUTE };
  const slice = {
    ...COMMON,
    startToCloseTimeout: Math.max(10 * MINUTE, 2 * IDLE_SLICES * sliceMs),
    heartbeatTimeout: SLICE_HEARTBEAT,
  };
  // A copy may wait long for its turn, or for a writer.
  const copy = { ...COMMON, taskQueue: producer, startToCloseTimeout: 24 * HOUR, heartbeatTimeout: SLICE_HEARTBEAT };
  const { prepareTable, removeTable } = proxyActivities<ReplicationActivities>(short);
  // Rows, or a person, wait for a change: a worker that died with it must be noticed soon.
  const change = { ...short, heartbeatTimeout: SLICE_HEARTBEAT };
  const { changeRoute, changeKept, changeQuarantine } = proxyActivities<ReplicationActivities>(change);
  const { addLoader, removeLoader, startReplay, cancelReplay } = proxyActivities<ReplicationActivities>(change);
  const { startBackfill, cancelBackfill } = proxyActivities<ReplicationActivities>(change);
  const { copyTable } = proxyActivities<ReplicationActivities>(copy);
  const { publishSlice, directSlice, replaySlice } = proxyActivities<ReplicationActivities>({
    ...slice,
    taskQueue: producer,
  });
  const { loadSlice, watchEngine } = proxyActivities<ReplicationActivities>({ ...slice, taskQueue: consumer });
  const { stopEngine } = proxyActivities<ReplicationActivities>({ ...short, taskQueue: consumer });
  const moving = { copyTable, publishSlice, loadSlice, directSlice, watchEngine, stopEngine, replaySlice };
  const changes = {
    changeRoute,
    addLoader,
    removeLoader,
    startReplay,
    cancelReplay,
    startBackfill,
    cancelBackfill,
    changeKept,
    changeQuarantine,
  };
  return { ...moving, ...changes, prepareTable, removeTable };
}
