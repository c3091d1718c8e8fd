import type { Client } from '@temporalio/client';
import { TASK_QUEUES } from '../domain/receipt.js';

/** Processes that asked each task queue for work lately. */
export type Workers = Readonly<Record<keyof typeof TASK_QUEUES, number>>;

/** Values of `temporal.api.enums.v1.TaskQueueType`. */
const WORKFLOW_TASKS = 1;
const ACTIVITY_TASKS = 2;

/** A poll lasts up to 60 s and counts from its start; a worker that died is listed for minutes more. */
const LATELY_MS = 75_000;

export async function countWorkers(client: Client): Promise<Workers> {
  const [workflow, producer, consumer] = await Promise.all([
    countPollers(client, TASK_QUEUES.workflow, WORKFLOW_TASKS),
    countPollers(client, TASK_QUEUES.producer, ACTIVITY_TASKS),
    countPollers(client, TASK_QUEUES.consumer, ACTIVITY_TASKS),
  ]);
  return { workflow, producer, consumer };
}

/** The task queues that nobody polls. */
export function missingQueues(workers: Workers): readonly string[] {
  return (Object.keys(TASK_QUEUES) as (keyof typeof TASK_QUEUES)[])
    .filter((queue) => workers[queue] === 0)
    .map((queue) => TASK_QUEUES[queue]);
}

async function countPollers(client: Client, name: string, taskQueueType: number): Promise<number> {
  const { pollers } = await client.workflowService.describeTaskQueue({
    namespace: client.options.namespace,
    taskQueue: { name },
    taskQueueType,
  });
  const since = Date.now() - LATELY_MS;
  const lately = (pollers ?? []).filter((poller) => Number(poller.lastAccessTime?.seconds ?? 0) * 1_000 > since);
  return new Set(lately.map((poller) => poller.identity)).size;
}
