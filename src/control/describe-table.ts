import { WorkflowNotFoundError, type Client, type WorkflowExecutionDescription } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { deploymentOf } from '../domain/deployment.js';
import type { SliceProgress } from '../domain/receipt.js';
import { COPY_STAGE, loadStage, MAIN_LOADER, PUBLISH_STAGE } from '../domain/route.js';
import { FAILURE_KINDS, isFailureKind, policyOf, type FailureKind } from '../failure/kinds.js';
import { statusQuery, type TableStatus } from '../../workflows/messages.js';
import { PHASES, type Phase, type Task } from '../../workflows/table-state.js';

/** An activity of a table that runs or waits for its next attempt, as the server knows it: no worker is needed to ask. */
export interface PendingTask {
  readonly task: Task;
  readonly attempt: number;
  /** Of the attempt before. */
  readonly failure: { readonly kind: FailureKind; readonly message: string; readonly remedy: string } | undefined;
  /** What its last heartbeat told. */
  readonly progress: SliceProgress | undefined;
}

export interface TableDescription {
  readonly running: boolean;
  /** `COMPLETED`, `TERMINATED`, ... once it is not. */
  readonly ended: string | undefined;
  /** As the search attributes tell them. */
  readonly phase: Phase | undefined;
  readonly failureKind: FailureKind | undefined;
  readonly runId: string;
  /** Where its workflow tasks wait for a worker. */
  readonly taskQueue: string;
  readonly pending: readonly PendingTask[];
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
    phase: PHASES.find((phase) => phase === description.typedSearchAttributes.get(PHASE)),
    failureKind: FAILURE_KINDS.find((kind) => kind === description.typedSearchAttributes.get(FAILURE)),
    runId: description.runId,
    taskQueue: description.taskQueue,
    pending: (description.raw.pendingActivities ?? []).flatMap(readPending),
  };
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
    return await client.withDeadline(Date.now() + deadlineMs, () => handle.query(statusQuery));
  } catch {
    // Whatever keeps it from answering: what the ledger and the server know is shown instead, and that nobody answered.
    return undefined;
  }
}

/** Ids of the workflows that run in a pipeline, but for those of other deployments. The server's list may be seconds old. */
export async function listTableWorkflows(
  client: Client,
  pipeline: string,
  deployment: string | undefined,
): Promise<readonly string[]> {
  const ids: string[] = [];
  const query = `WorkflowType = "replicateTable" AND ExecutionStatus = "Running"`;
  for await (const { workflowId, taskQueue } of client.workflow.list({ query })) {
    const isOther = deployment !== undefined && (deploymentOf(taskQueue) ?? deployment) !== deployment;
    if (!isOther && workflowId.startsWith(`replicate/${pipeline}/`)) ids.push(workflowId);
  }
  return ids;
}

const PHASE = defineSearchAttributeKey('Pg2clickPhase', SearchAttributeType.KEYWORD);
const FAILURE = defineSearchAttributeKey('Pg2clickFailure', SearchAttributeType.KEYWORD);

const TASK_OF_ACTIVITY: Readonly<Record<string, Task>> = {
  prepareTable: 'prepare',
  copyTable: COPY_STAGE,
  publishSlice: PUBLISH_STAGE,
  loadSlice: loadStage(MAIN_LOADER),
  removeTable: 'remove',
};

type RawActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];
type RawPayloads = NonNullable<RawActivity['heartbeatDetails']>['payloads'];

function readPending(activity: RawActivity): PendingTask[] {
  const usual = TASK_OF_ACTIVITY[activity.activityType?.name ?? ''];
  if (usual === undefined) return [];
  const progress = readFirst<SliceProgress>(activity.heartbeatDetails?.payloads);
  return [
    {
      // Which of several loaders it is, its heartbeats tell.
      task: progress?.stage ?? usual,
      attempt: activity.attempt ?? 1,
      failure: readFailure(activity),
      progress,
    },
  ];
}

/** Why the last attempt ended; undefined where a worker was lost and the attempt that followed is alive. */
function readFailure(activity: RawActivity): PendingTask['failure'] {
  const { lastFailure } = activity;
  if (lastFailure === null || lastFailure === undefined) return undefined;
  if (lastFailure.timeoutFailureInfo !== null && lastFailure.timeoutFailureInfo !== undefined) {
    if (secondsOf(activity.lastHeartbeatTime) > secondsOf(activity.lastStartedTime)) return undefined;
    const message = 'The worker that ran the last attempt was not heard of in time.';
    return { kind: 'WorkerLost', message, remedy: policyOf('WorkerLost').remedy };
  }
  const kind = lastFailure.applicationFailureInfo?.type;
  const known: FailureKind = isFailureKind(kind) ? kind : 'Unexpected';
  const told = readFirst<{ message?: unknown; remedy?: unknown }>(
    lastFailure.applicationFailureInfo?.details?.payloads,
  );
  return {
    kind: known,
    message: text(told?.message) ?? text(lastFailure.message) ?? 'The last attempt failed without a word.',
    remedy: text(told?.remedy) ?? policyOf(known).remedy,
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
