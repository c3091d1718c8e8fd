import type { PipelineView, TableView } from '../control/table-view.js';
import { missingQueues, type Workers } from '../control/workers.js';

/** What waits for a person comes before what is tried again by itself. */
const STANDING: readonly TableView['phase'][] = ['parked', 'stopped'];

/** Whether nobody has to look at a table: it moves, or was paused. One that was detached has lost changes meanwhile, also while it is paused. */
export function isWell(table: TableView, workers: Workers): boolean {
  return rankOf(table, workers) > 1;
}

/** Whether workers poll what a table needs, and one of them has just answered for it. */
export function isWorkedOn({ answering, stages }: TableView, workers: Workers): boolean {
  return answering && missingQueues(workers, stages).length === 0;
}

/** The tables that are in trouble first: those that stand still, then those that are retried or have no worker; by name among equals. */
export function sortedByTrouble({ tables, workers }: PipelineView): readonly TableView[] {
  return tables.toSorted((a, b) => rankOf(a, workers) - rankOf(b, workers) || (a.table < b.table ? -1 : 1));
}

function rankOf(table: TableView, workers: Workers): number {
  const { phase, failure, slot } = table;
  if (STANDING.includes(phase) || (slot !== null && slot.detached !== null)) return 0;
  return failure === null && isWorkedOn(table, workers) && phase !== 'unknown' ? 2 : 1;
}
