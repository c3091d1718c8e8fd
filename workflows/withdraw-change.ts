import type { Change } from './changes.js';

/** Why the next change has to wait. @param isPaused the table is */
export function anotherChange(change: Change, isPaused: boolean): string {
  const way = withdrawalOf(change);
  const orElse = way === null ? '' : `, or ${way} to withdraw it`;
  return isPaused
    ? `Another change (${change.task}) waits, because the table is paused: resume the table${orElse}.`
    : `Another change (${change.task}) is being made: ask again when it is done${orElse}.`;
}

/** What takes a change back; null where nothing does. Adding a loader may be retried for ever, so its removal ends it at any time. */
function withdrawalOf(change: Change): string | null {
  if (change.task === 'addLoader') return `remove the loader ${change.loader.name}`;
  const action = cancellingAction(change);
  return action === null ? null : `send ${action}`;
}

/** The request that withdraws a change of which nothing has begun. */
export function cancellingAction(change: Change): 'cancelReplay' | 'cancelBackfill' | 'cancelResync' | null {
  if (change.begun === true) return null;
  if (change.task === 'startReplay') return 'cancelReplay';
  if (change.task !== 'startBackfill') return null;
  return change.terms.resync === true ? 'cancelResync' : 'cancelBackfill';
}
