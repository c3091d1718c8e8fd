import { WorkflowNotFoundError, type Client, type WorkflowExecutionDescription } from '@temporalio/client';
import type { SliceProgress } from '../domain/receipt.js';
import { COPY_STAGE, directStage, loadStage, MAIN_LOADER, PUBLISH_STAGE, type StageActivity } from '../domain/route.js';
import { isFailureKind, policyOf, type FailureKind } from '../failure/kinds.js';
import type { TableStatus } from '../../workflows/messages.js';
import { STATUS_QUERY } from '../../workflows/names.js';
import type { Task } from '../../workflows/table-state.js';
import { stopTask } from '../../workflows/stop-task.js';
import { readShown, type Shown } from './search-attributes.js';

/** An activity of a table that runs or waits for its next attempt, as the server knows it: no worker is needed to ask. */
export interface PendingTask {
  readonly task: Task;
  readonly attempt: number;
  /** Why the attempt before ended; whether this one met the same, only its progress says. */
  readonly failure: PendingFailure | undefined;
  /** A worker runs this attempt, and was heard of since it began: not one that waits for its turn. */
  readonly alive: boolean;
  /** Seconds since its last heartbeat; null before the first of this attempt. */
  readonly heardAgo: number | null;
  /** What that said; undefined where this attempt reported nothing yet. */
  readonly progress: SliceProgress | undefined;
}

export interface PendingFailure {
  readonly kind: FailureKind;
  readonly message: string;
  readonly remedy: string;
  /** Identity of the worker that met it; null where that is not known. */
  readonly worker: string | null;
}

export interface TableDescription extends Shown {
  readonly running: boolean;
  /** `COMPLETED`, `TERMINATED`, ... once it is not. */
  readonly ended: string | undefined;
  readonly runId: string;
  readonly namespace: string;
  /** Where its workflow tasks wait for a worker. */
  readonly taskQueue: string;
  readonly pending: readonly PendingTask[];
  /** How often its workflow task was tried, where workers fail it again and again: the workflow stands still. */
  readonly failingTask?: number | undefined;
}

/** @returns undefined where no workflow of that id ever ran, or it is long forgotten */
export async function describeTable(client: Client, workflowId: string): Promise<TableDescription | undefined> {
  let description: WorkflowExecutionDescription;
  try {
    description = await client.workflow.getHandle(workflowId).describe();
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
  const running = description.status.name === 'RUNNING' || description.status.name === 'PAUSED';
  return {
    running,
    ended: running ? undefined : description.status.name,
    ...readShown(description),
    runId: description.runId,
    namespace: client.options.namespace,
    taskQueue: description.taskQueue,
    pending: (description.raw.pendingActivities ?? []).flatMap(readPending),
    failingTask: failingTask(description.raw.pendingWorkflowTask?.attempt),
  };
}

/** A worker that dies costs a task an attempt, and so does the one that takes over too soon. */
const FAILING_ATTEMPTS = 4;

function failingTask(attempt: number | null | undefined): number | undefined {
  return (attempt ?? 0) >= FAILING_ATTEMPTS ? (attempt ?? undefined) : undefined;
}

/**
 * Asks the workflow itself.
 * @returns undefined where no worker answers in time
 */
export async function queryTable(
  client: Client,
  workflowId: string,
  deadlineMs = 2_000,
): Promise<TableStatus | undefined> {
  try {
    const handle = client.workflow.getHandle(workflowId);
    return await client.withDeadline(Date.now() + deadlineMs, () => handle.query<TableStatus>(STATUS_QUERY));
  } catch {
    // Whatever keeps it from answering: what the ledger and the server know is shown instead, and that nobody answered.
    return undefined;
  }
}

/** Why a task waits for its next attempt, or for word of the one that runs; undefined once a worker was heard of in that. */
export function retriedFor({ alive, failure }: PendingTask): PendingTask['failure'] {
  return alive ? undefined : failure;
}

/** The task of an activity whose heartbeats do not say yet which of several stages it runs. */
const USUAL_STAGES: Readonly<Record<StageActivity, Task>> = {
  copyTable: COPY_STAGE,
  publishSlice: PUBLISH_STAGE,
  loadSlice: loadStage(MAIN_LOADER),
  directSlice: directStage(MAIN_LOADER),
  watchEngine: loadStage(MAIN_LOADER),
  replaySlice: 'replay:1',
};
const USUAL_TASKS = new Map<string, Task>([
  ['prepareTable', 'prepare'],
  ['changeRoute', 'configure'],
  ['removeTable', 'remove'],
  ['stopEngine', stopTask(loadStage(MAIN_LOADER))],
  ['addLoader', 'addLoader'],
  ['removeLoader', 'removeLoader'],
  ['startReplay', 'startReplay'],
  ['cancelReplay', 'cancelReplay'],
  ['startBackfill', 'startBackfill'],
  ['cancelBackfill', 'cancelBackfill'],
  ['changeQuarantine', 'retryQuarantined'],
  ['changeKept', 'dropKept'],
  ...Object.entries(USUAL_STAGES),
]);

/** `temporal.api.enums.v1.PendingActivityState`. */
const STARTED = 2;

type RawActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];
type RawPayloads = NonNullable<RawActivity['heartbeatDetails']>['payloads'];

function readPending(activity: RawActivity): PendingTask[] {
  const usual = USUAL_TASKS.get(activity.activityType?.name ?? '');
  if (usual === undefined) return [];
  const heardAt = secondsOf(activity.lastHeartbeatTime);
  // Temporal keeps the details of an earlier attempt for the next one.
  const alive = activity.state === STARTED && heardAt > secondsOf(activity.lastStartedTime);
  const progress = readFirst<SliceProgress>(activity.heartbeatDetails?.payloads);
  return [
    {
      task: progress?.stage ?? usual,
      attempt: activity.attempt ?? 1,
      failure: readFailure(activity),
      alive,
      heardAgo: alive ? Math.max(0, Date.now() / 1_000 - heardAt) : null,
      progress: alive ? progress : undefined,
    },
  ];
}

function readFailure({ lastFailure }: RawActivity): PendingFailure | undefined {
  if (lastFailure === null || lastFailure === undefined) return undefined;
  if (lastFailure.timeoutFailureInfo !== null && lastFailure.timeoutFailureInfo !== undefined) {
    const message = 'The worker that ran the last attempt was not heard of in time.';
    return { kind: 'WorkerLost', message, remedy: policyOf('WorkerLost').remedy, worker: null };
  }
  const kind = lastFailure.applicationFailureInfo?.type;
  const known: FailureKind = isFailureKind(kind) ? kind : 'Unexpected';
  const details = readFirst<{ message?: unknown; remedy?: unknown; worker?: unknown }>(
    lastFailure.applicationFailureInfo?.details?.payloads,
  );
  return {
    kind: known,
    message: text(details?.message) ?? text(lastFailure.message) ?? 'The last attempt failed without a word.',
    remedy: text(details?.remedy) ?? policyOf(known).remedy,
    worker: text(details?.worker) ?? null,
  };
}

function secondsOf(time: RawActivity['lastStartedTime']): number {
  return Number(time?.seconds ?? 0) + (time?.nanos ?? 0) / 1e9;
}

/** Our payloads are JSON; encrypted ones, or none, are simply not shown. */
function readFirst<T>(payloads: RawPayloads): T | undefined {
  const data = payloads?.[0]?.data;
  if (data === null || data === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(data).toString('utf8'));
    return typeof value === 'object' && value !== null ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
