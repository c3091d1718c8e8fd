import type { Client } from '@temporalio/client';
import { count, plural } from '../domain/figures.js';
import { workflowIdOf } from '../domain/table-name.js';
import type { TaskQueues } from '../domain/deployment.js';
import type { StageSpec } from '../domain/route.js';
import type { TableAddress } from '../domain/receipt.js';
import { Failure } from '../failure/failure.js';
import { describeTable } from './describe-table.js';
import { listTables } from './list-tables.js';
import { countWorkers, neededQueues, type Workers } from './workers.js';

export interface SlotsWanted {
  readonly queues: TaskQueues;
  readonly slots: number;
  readonly stages: readonly Pick<StageSpec, 'queue'>[];
  readonly tables?: number;
  readonly loading?: number;
  /** Of all tables, beside their first ones. */
  readonly addedLoaders: number;
}

/**
 * Refuses a table for which the workers would have no slot: its activities would wait unseen, and so would those of other
 * tables whenever one of their slices ends. A table holds one slot of the producers, two until its first load is done, and, where
 * a topic is loaded, one of the consumers for each loader. Temporal's counts may be seconds old.
 * @param table undefined for several that do not run
 * @param slots of each worker, PG2CLICK_SLOTS; `stages`: those of the tables; `tables`: how many more, `loading`: how many of them copy at once
 * @returns who works
 * @throws Failure `Misconfigured`
 */
export async function requireSlots(
  client: Client,
  table: TableAddress | undefined,
  { queues, slots, stages, addedLoaders, tables = 1, loading: copies = tables }: SlotsWanted,
): Promise<Workers> {
  const [listed, workers] = await Promise.all([listTables(client), countWorkers(client, queues)]);
  const ours = listed.filter(({ taskQueue }) => taskQueue === queues.workflow);
  const running = ours.length;
  const loading = ours.filter(({ phase }) => phase === 'preparing' || phase === 'copying').length;
  // Where none runs yet, one is assumed.
  const [producers, consumers] = [Math.max(1, workers.producer), Math.max(1, workers.consumer)];
  const isLoaded = neededQueues(stages).includes('consumer');
  const fits =
    running + loading + tables + copies <= producers * slots &&
    (!isLoaded || running + addedLoaders + tables <= consumers * slots);
  if (fits) return workers;
  const known = table === undefined ? undefined : await describeTable(client, workflowIdOf(table.pipeline, table));
  if (known?.running === true) return workers;
  const [what, it] = tables === 1 ? ['another table', 'the table'] : [`${count(tables)} more tables`, 'them'];
  const loaders = addedLoaders === 0 ? '' : `with ${plural(addedLoaders, 'loader')} that were added, `;
  throw new Failure('Misconfigured', {
    message:
      `The workers have no room for ${what}: ${running} run, ${loading} of them in their first load, ${loaders}` +
      `and ${isLoaded ? Math.min(producers, consumers) : producers} x ${slots} slots (PG2CLICK_SLOTS) serve them.`,
    remedy: `Start another worker, or raise PG2CLICK_SLOTS for the workers and here, then add ${it} again.`,
  });
}
