import { setTimeout as sleep } from 'node:timers/promises';
import { ActivityNotFoundError, isGrpcServiceError, type Client } from '@temporalio/client';
import { STAGE_ACTIVITIES } from '../domain/route.js';
import { workflowIdOf, type TableName } from '../domain/table-name.js';
import { toApplicationFailure } from '../failure/application-failure.js';
import { Failure } from '../failure/failure.js';

export interface TakeOver {
  readonly temporal: Client;
  readonly pipeline: string;
  /** Tables whose slices it may run. */
  readonly tables: readonly TableName[];
  /** Identity of the worker that is gone. */
  readonly lost: string;
  readonly signal: AbortSignal;
  /** Called when each of its slices was failed once. */
  readonly onFailed: () => void;
}

/** A slice that Temporal gave to the worker. */
interface LostSlice {
  readonly workflowId: string;
  readonly runId: string;
  readonly activityId: string;
  /** It runs, as far as Temporal knows; otherwise it waits for its next attempt. */
  readonly isRunning: boolean;
}

/** Calls to Temporal at a time. */
const CONCURRENCY = 16;
/** Of Temporal, for one call. */
const ANSWER_MS = 10_000;
/**
 * A worker that is frozen, or whose network is cut, may still have an open poll on each queue, and Temporal may give it the next attempt
 * too, up to a second after the one before has failed. So one looks again, later each time: 8 s in all.
 */
const AGAIN_MS = 300;
const MOST_ROUNDS = 8;
/** gRPC status. */
const NOT_FOUND = 5;
/** `temporal.api.enums.v1.PendingActivityState`: STARTED, CANCEL_REQUESTED. */
const RUNNING: readonly unknown[] = [2, 3];
/**
 * Each statement of a slice carries its epoch, so two attempts may overlap at any time. What makes and removes a table is left to the
 * heartbeats: a statement of the attempt before may still be on its way in PostgreSQL.
 */
const SLICES: readonly unknown[] = STAGE_ACTIVITIES;

/**
 * Fails the slices that Temporal takes to be run by a worker that is gone, so that it gives them to others at once and not after the
 * heartbeat timeout. An attempt that runs all the same is fenced by the epoch that the next one claims.
 * @returns how many it failed
 * @throws what Temporal's client throws
 */
export async function takeOver({ temporal, pipeline, tables, lost, signal, onFailed }: TakeOver): Promise<number> {
  let workflows = tables.map((name) => workflowIdOf(pipeline, name));
  let failed = 0;
  for (let round = 1; workflows.length > 0 && round <= MOST_ROUNDS; round += 1) {
    await sleep((round - 1) * AGAIN_MS, undefined, { signal });
    const found: LostSlice[] = [];
    await forEach(workflows, signal, async (id) => void found.push(...(await findSlices(temporal, id, lost))));
    // All of them in a row: Temporal starts retries that are due at about the same time together, and later ones up to a second later.
    const running = found.filter(({ isRunning }) => isRunning);
    await forEach(running, signal, (slice) => fail(temporal, slice, lost));
    failed += running.length;
    onFailed();
    // Its cache of the workflow is gone too: the next task of the workflow would wait 3 s for it.
    await forEach(new Set(running.map(({ workflowId }) => workflowId)), signal, (id) => forgetCache(temporal, id));
    // Those that wait for a worker, too: it may be the one that is gone.
    workflows = [...new Set(found.map(({ workflowId }) => workflowId))];
  }
  return failed;
}

/** @returns those of one workflow that no other worker has by now */
async function findSlices(temporal: Client, workflowId: string, lost: string): Promise<readonly LostSlice[]> {
  const { namespace } = temporal.options;
  const described = await callTemporal(temporal, () =>
    temporal.workflowService.describeWorkflowExecution({ namespace, execution: { workflowId } }),
  );
  const runId = described?.workflowExecutionInfo?.execution?.runId ?? '';
  return (described?.pendingActivities ?? [])
    .filter(({ lastWorkerIdentity: worker, activityType }) => worker === lost && SLICES.includes(activityType?.name))
    .map(({ activityId, state }) => ({
      workflowId,
      runId,
      activityId: activityId ?? '',
      isRunning: RUNNING.includes(state),
    }));
}

async function fail(temporal: Client, { workflowId, runId, activityId }: LostSlice, lost: string): Promise<void> {
  const message = `The worker ${lost} is gone: it does not hold its lock in the ledger.`;
  const failure = toApplicationFailure(new Failure('WorkerLost', { message }), 'the activity');
  await callTemporal(temporal, () => temporal.activity.fail({ workflowId, runId, activityId }, failure));
}

async function forgetCache(temporal: Client, workflowId: string): Promise<void> {
  const { namespace } = temporal.options;
  await callTemporal(temporal, () =>
    temporal.workflowService.resetStickyTaskQueue({ namespace, execution: { workflowId } }),
  );
}

/** @returns undefined where what is meant has ended meanwhile: that needs nobody */
async function callTemporal<T>(temporal: Client, call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await temporal.withDeadline(Date.now() + ANSWER_MS, call);
  } catch (error) {
    if (error instanceof ActivityNotFoundError) return undefined;
    if (isGrpcServiceError(error) && Number(error.code) === NOT_FOUND) return undefined;
    throw error;
  }
}

async function forEach<T>(items: Iterable<T>, signal: AbortSignal, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = [...items].values();
  const workOff = async (): Promise<void> => {
    for (const item of waiting) {
      signal.throwIfAborted();
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, workOff));
}
