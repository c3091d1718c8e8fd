import { isBackfill, type BackfillTerms } from '../src/domain/backfill.js';
import { change, refuse, type Handled } from './answers.js';
import { backfillNamed, runningBackfills, runningResync } from './backfills.js';
import { type Change, loadersOf, runningReplays } from './changes.js';
import { hasCopy, type TableState } from './table-state.js';

/** A request about a backfill or a resync. */
type Request = { readonly requestId: string } & (
  | { readonly action: 'backfill' | 'resync'; readonly terms: BackfillTerms }
  | { readonly action: 'cancelBackfill'; readonly backfill: string | null }
  | { readonly action: 'cancelResync' }
);

/** Begins what is asked for, where nothing stands against it. */
export function beginBackfill(state: TableState, request: Request, at: string): Handled {
  const { requestId } = request;
  const start = (made: Change, message: string): Handled =>
    change(state, { type: 'changeRequested', change: made }, message);
  const cancel = (backfill: string, stays: string): Handled =>
    start({ task: 'cancelBackfill', requestId, at, backfill }, `Cancelling ${backfill}: ${stays}.`);
  switch (request.action) {
    case 'backfill':
    case 'resync': {
      const { action, terms } = request;
      const loaders = loadersOf(state);
      if (terms.loader !== undefined && !loaders.includes(terms.loader))
        return refuse(state, noLoader(terms.loader, loaders), 'Misconfigured');
      if (!hasCopy(state))
        return refuse(
          state,
          'Rows of this table are not read again: it only grows, or its target is a log of changes. Remove it and add it again.',
        );
      const running = [...runningBackfills(state).map(({ stage }) => stage), ...runningReplays(state)];
      if (action === 'resync' && running.length > 0)
        return refuse(state, `${running.join(', ')} must end first: ask again then, or cancel it.`);
      return start({ task: 'startBackfill', requestId, at, terms }, `Starting the ${action}.`);
    }
    case 'cancelResync': {
      const resync = runningResync(state);
      if (resync === undefined) return refuse(state, 'No resync runs.');
      return cancel(resync.stage, 'the live table stays as it is');
    }
    case 'cancelBackfill': {
      const backfill = backfillNamed(state, request.backfill);
      if (backfill !== undefined) return cancel(backfill, 'what it has written stays');
      const running = runningBackfills(state).flatMap(({ stage }) => (isBackfill(stage) ? [stage] : []));
      if (running.length === 0) return refuse(state, 'No backfill runs.');
      return refuse(state, `Say which backfill: ${running.join(', ')} run.`, 'Misconfigured');
    }
    default:
      return request satisfies never;
  }
}

export function noLoader(name: string, loaders: readonly string[]): string {
  return `The table has no loader ${name}: it has ${loaders.join(', ')}.`;
}
