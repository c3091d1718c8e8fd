import type { Client } from '@temporalio/client';
import { WORKFLOW_QUEUE_BEFORE } from '../domain/deployment.js';
import type { TableAddress } from '../domain/receipt.js';
import { workflowIdOf } from '../domain/table-name.js';
import { describeTable } from './describe-table.js';
import { readInput } from './read-input.js';
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
  const { options, sliceMs, priority } = await readInput(client, { workflowId, runId: description.runId });
  const signal = { paused: PAUSE, removing: REMOVE }[String(description.phase)];
  await replaceWorkflow(client, { ...table, options, sliceMs, priority, taskQueue }, signal);
  return true;
}

const PAUSE = ['pause', { reason: 'It was paused when it was moved to this release.' }] as const;
const REMOVE = ['remove', {}] as const;
