import type { Client } from '@temporalio/client';
import { deploymentOf, describeDeployment, taskQueuesOf, type Deployment } from '../domain/deployment.js';
import type { TableAddress } from '../domain/receipt.js';
import { workflowIdOf } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { describeTable, type TableDescription } from './describe-table.js';

/**
 * Two deployments whose pipelines have one name share the ids of workflows. A workflow says by its task queue whose it is.
 * @throws Failure `Misconfigured`
 */
export function requireOwnWorkflow(
  client: Client,
  workflowId: string,
  { taskQueue }: Pick<TableDescription, 'taskQueue'>,
  own: Deployment,
): void {
  const other = otherDeployment(taskQueue, own.id);
  if (other === undefined) return;
  throw new Failure('Misconfigured', {
    message: othersWorkflow({ workflowId, namespace: client.options.namespace, other, own }),
    remedy: OTHERS_REMEDY,
  });
}

/** @throws Failure `Misconfigured` a workflow of another deployment runs under the id of this table */
export async function requireOwnTableWorkflow(client: Client, table: TableAddress, own: Deployment): Promise<void> {
  const workflowId = workflowIdOf(table.pipeline, table);
  const description = await describeTable(client, workflowId);
  if (description?.running === true) requireOwnWorkflow(client, workflowId, description, own);
}

/** @returns the deployment of a workflow that is not `own`; undefined for task queues that name none */
export function otherDeployment(taskQueue: string, own: string): string | undefined {
  const deployment = deploymentOf(taskQueue);
  return deployment === own ? undefined : deployment;
}

export function othersWorkflow(of: {
  readonly workflowId: string;
  readonly namespace: string;
  readonly other: string;
  readonly own: Deployment;
}): string {
  return (
    `The workflow ${of.workflowId} in the Temporal namespace "${of.namespace}" belongs to deployment ${of.other}, and this is ` +
    `deployment ${describeDeployment(of.own)}.`
  );
}

export const OTHERS_REMEDY = 'Set PG2CLICK_PIPELINE to another name, or TEMPORAL_NAMESPACE to another namespace.';

export const ELSEWHERE_REMEDY =
  'Run "pg2click init" if an older release started it. Otherwise end it in Temporal, then run "pg2click add" for the table.';

/** A worker of this release polls no other queue: a workflow there waits for ever. */
export function waitsElsewhere(taskQueue: string, own: string): string | undefined {
  const { workflow } = taskQueuesOf(own);
  if (taskQueue === workflow) return undefined;
  return `Its workflow waits on the task queue "${taskQueue}", and the workers of this deployment poll "${workflow}".`;
}
