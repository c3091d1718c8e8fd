import type { Client } from '@temporalio/client';
import { WORKFLOW_QUEUE_BEFORE } from '../domain/deployment.js';
import type { TableAddress } from '../domain/receipt.js';
import { workflowIdOf } from '../domain/table-name.js';
import type { ReplicateTableInput } from '../../workflows/messages.js';
import { describeTable } from './describe-table.js';
import { replaceWorkflow } from './start-table.js';

/**
 * A workflow of before deployments had an identity waits on a task queue that nobody polls any more. It is ended, and one with the
 * same input is started on the deployment's queue, in one request. Positions are the ledger's, so nothing is copied again; a
 * pause is carried over. A removal goes on without dropping the target: what it was asked to drop is not known here.
 * @returns whether it was moved; false too where it was moved before, or does not run
 */
export async function moveWorkflow(client: Client, table: TableAddress, taskQueue: string): Promise<boolean> {
  const workflowId = workflowIdOf(table.pipeline, table);
  const description = await describeTable(client, workflowId);
  if (description?.running !== true || description.taskQueue !== WORKFLOW_QUEUE_BEFORE) return false;
  const { options, sliceMs } = await readInput(client, workflowId, description.runId);
  const signal = { paused: PAUSE, removing: REMOVE }[String(description.phase)];
  await replaceWorkflow(client, { ...table, options, sliceMs, taskQueue }, signal);
  return true;
}

const PAUSE = ['pause', { reason: 'It was paused when it was moved to this release.' }] as const;
const REMOVE = ['remove', {}] as const;

/** What the workflow was started with: the first event of its history. Nothing where it is encrypted. */
async function readInput(client: Client, workflowId: string, runId: string): Promise<Partial<ReplicateTableInput>> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution: { workflowId, runId },
    maximumPageSize: 1,
  });
  const data = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data;
  try {
    return JSON.parse(Buffer.from(data ?? '').toString('utf8')) as Partial<ReplicateTableInput>;
  } catch {
    return {};
  }
}
