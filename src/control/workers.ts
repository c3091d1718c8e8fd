import type { Client } from '@temporalio/client';
import type { TaskQueues } from '../domain/deployment.js';
import type { StageSpec } from '../domain/route.js';

/** Processes that polled each task queue of a deployment lately. */
export interface Workers extends Readonly<Record<keyof TaskQueues, number>> {
  readonly queues: TaskQueues;
}

/** Values of `temporal.api.enums.v1.TaskQueueType`. */
const WORKFLOW_TASKS = 1;
const ACTIVITY_TASKS = 2;

/** A poll lasts up to 60 s and counts from its start; a worker that died is listed for minutes more. */
const LATELY_MS = 75_000;

export async function countWorkers(client: Client, queues: TaskQueues): Promise<Workers> {
  const [workflow, producer, consumer] = await Promise.all([
    countPollers(client, queues.workflow, WORKFLOW_TASKS),
    countPollers(client, queues.producer, ACTIVITY_TASKS),
    countPollers(client, queues.consumer, ACTIVITY_TASKS),
  ]);
  return { workflow, producer, consumer, queues };
}

/**
 * The queues that tables of these stages need. Every table needs workflows and producers; consumers only where a topic is loaded.
 * @param stages none: not known yet, all queues
 */
export function neededQueues(stages: readonly Pick<StageSpec, 'queue'>[]): readonly (keyof TaskQueues)[] {
  const isLoaded = stages.length === 0 || stages.some(({ queue }) => queue === 'consumer');
  return isLoaded ? ['workflow', 'producer', 'consumer'] : ['workflow', 'producer'];
}

/** The task queues that nobody polls. @param stages of the tables that are meant; see `neededQueues` */
export function missingQueues(workers: Workers, stages: readonly Pick<StageSpec, 'queue'>[] = []): readonly string[] {
  return neededQueues(stages)
    .filter((queue) => workers[queue] === 0)
    .map((queue) => workers.queues[queue]);
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
