import type { Client } from '@temporalio/client';
import type { TableDescription } from '../control/describe-table.js';
import { formatTableName, shellName, workflowIdOf, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';

/** Events at the end of a history in which a signal may stand that no worker has seen: it adds one event, and a task of workflows two. */
const LAST_EVENTS = 20;

/**
 * `add` would find such a table replicated already, and soon after it would be gone.
 * @throws Failure `UnsuitableTable` the table is being removed, or will be as soon as a worker runs
 */
export async function refuseRemoved(
  client: Client,
  name: TableName & { readonly pipeline: string },
  description: TableDescription | undefined,
): Promise<void> {
  if (description?.running !== true) return;
  const removing = description.phase === 'removing';
  if (!removing && !(await awaitsRemoval(client, workflowIdOf(name.pipeline, name)))) return;
  const status = `pg2click status ${shellName(name)}`;
  throw new Failure('UnsuitableTable', {
    message: `${formatTableName(name)} is being removed${removing ? '' : ', as soon as a worker runs'}.`,
    remedy: `${removing ? `See what it waits for: ${status}` : 'Start one: pg2click worker'}. Once ${status} finds no table any more, add it again.`,
  });
}

/** Whether a removal was accepted while no worker ran: nothing but the history knows of it. */
async function awaitsRemoval(client: Client, workflowId: string): Promise<boolean> {
  const { history } = await client.workflowService.getWorkflowExecutionHistoryReverse({
    namespace: client.options.namespace,
    execution: { workflowId },
    maximumPageSize: LAST_EVENTS,
  });
  for (const event of history?.events ?? []) {
    if (event.workflowTaskCompletedEventAttributes) return false;
    if (event.workflowExecutionSignaledEventAttributes?.signalName === 'remove') return true;
  }
  return false;
}
