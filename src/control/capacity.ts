import type { Client } from '@temporalio/client';
import { plural } from '../domain/figures.js';
import { workflowIdOf } from '../domain/table-name.js';
import type { TaskQueues } from '../domain/deployment.js';
import type { StageSpec } from '../domain/route.js';
import type { TableAddress } from '../domain/receipt.js';
import { Failure } from '../failure/failure.js';
import { describeTable } from './describe-table.js';
import { RUNNING_TABLES } from './list-tables.js';
import { countWorkers, neededQueues, type Workers } from './workers.js';

interface Room {
  readonly queues: TaskQueues;
  readonly slots: number;
  readonly stages: readonly Pick<StageSpec, 'queue'>[];
  readonly addedLoaders: number;
}

const LOADING = `Pg2clickPhase IN ("preparing", "copying")`;

/**
 * Refuses a table for which the workers would have no slot: its activities would wait unseen, and so would those of other
 * tables whenever one of their slices ends. A table holds one slot of the producers, two until its first load is done, and, where
 * a topic is loaded, one of the consumers for each loader. Temporal's counts may be seconds old.
 * @param slots of each worker, PG2CLICK_SLOTS; `stages`: those of the table; `addedLoaders`: of all tables, beside their first ones
 * @returns who works
 * @throws Failure `Misconfigured`
 */
export async function requireSlots(
  client: Client,
  table: TableAddress,
  { queues, slots, stages, addedLoaders }: Room,
): Promise<Workers> {
  const ours = `TaskQueue = "${queues.workflow}" AND ${RUNNING_TABLES}`;
  const [running, loading, workers] = await Promise.all([
    client.workflow.count(ours),
    client.workflow.count(`${ours} AND ${LOADING}`),
    countWorkers(client, queues),
  ]);
  // Where none runs yet, one is assumed.
  const [producers, consumers] = [Math.max(1, workers.producer), Math.max(1, workers.consumer)];
  const isLoaded = neededQueues(stages).includes('consumer');
  const fits =
    running.count + loading.count + 2 <= producers * slots &&
    (!isLoaded || running.count + addedLoaders + 1 <= consumers * slots);
  if (fits || (await describeTable(client, workflowIdOf(table.pipeline, table)))?.running === true) return workers;
  const loaders = addedLoaders === 0 ? '' : `with ${plural(addedLoaders, 'loader')} that were added, `;
  throw new Failure('Misconfigured', {
    message:
      `The workers have no room for another table: ${running.count} run, ${loading.count} of them in their first load, ${loaders}` +
      `and ${isLoaded ? Math.min(producers, consumers) : producers} x ${slots} slots (PG2CLICK_SLOTS) serve them.`,
    remedy: 'Start another worker, or raise PG2CLICK_SLOTS for the workers and here, then add the table again.',
  });
}
