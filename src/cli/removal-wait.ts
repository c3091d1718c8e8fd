import { retriedFor, type PendingTask } from '../control/describe-table.js';

/** Slices report every second, idle ones every 3.5 s. */
const SILENT_SECONDS = 5;

/** What a removal waits for, in one line. @param began the workflow has taken the request */
export function whatItWaitsFor(pending: readonly PendingTask[], began: boolean): string {
  const removing = pending.find(({ task }) => task === 'remove');
  const retried = removing && retriedFor(removing);
  if (retried !== undefined) return `retrying: ${retried.message}`;
  if (removing?.progress !== undefined) return removing.progress.moved;
  if (removing !== undefined) return 'waiting: no worker has reported from the removal yet';
  // Null: this attempt was not heard of yet, which says nothing against its worker.
  const silent = pending.filter(({ heardAgo }) => heardAgo !== null && heardAgo >= SILENT_SECONDS);
  const stages = pending.map((each) =>
    silent.includes(each) ? `${each.task} (its worker is silent for ${Math.round(each.heardAgo ?? 0)} s)` : each.task,
  );
  const dead = silent.length === 0 ? '' : ': a worker that is silent counts as dead within a minute';
  if (stages.length > 0) return `waiting for ${stages.join(', ')} to stop${dead}`;
  return began ? 'waiting for a worker to take the removal' : 'waiting for a worker to take the request';
}
