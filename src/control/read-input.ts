import type { Client } from '@temporalio/client';
import type { ReplicateTableInput } from '../../workflows/messages.js';

/**
 * What a table's workflow was started with: the first event of its history.
 * @param execution without a run id: the newest run
 * @returns nothing where it cannot be read: encrypted, or given by hand in another shape
 */
export async function readInput(
  client: Client,
  execution: { readonly workflowId: string; readonly runId?: string },
): Promise<Partial<ReplicateTableInput>> {
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace: client.options.namespace,
    execution,
    maximumPageSize: 1,
  });
  const data = history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0]?.data;
  try {
    return (JSON.parse(Buffer.from(data ?? '').toString('utf8')) as Partial<ReplicateTableInput> | null) ?? {};
  } catch {
    return {};
  }
}
