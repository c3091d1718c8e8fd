import type { WorkflowHandle } from '@temporalio/client';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';

/** Fields that tell of the machine it was recorded on; replaying does not look at them. */
const OF_A_MACHINE: Readonly<Record<string, string>> = { stackTrace: '', identity: 'worker' };

/**
 * The history of a workflow's current run as one line of JSON that `Worker.runReplayHistory` takes, without what only its
 * machine knows.
 */
export async function portableHistory(handle: WorkflowHandle): Promise<string> {
  const history = JSON.parse(historyToJSON(await handle.fetchHistory())) as unknown;
  const reduced = JSON.stringify(history, (key, value: unknown) => {
    const queue = value as { readonly kind?: string; readonly normalName?: string } | null;
    // A sticky queue is named after its worker's host.
    if (key === 'taskQueue' && queue?.kind === 'TASK_QUEUE_KIND_STICKY') return { ...queue, name: 'sticky' };
    return typeof value === 'string' && Object.hasOwn(OF_A_MACHINE, key) ? OF_A_MACHINE[key] : value;
  });
  return `${reduced}\n`;
}
