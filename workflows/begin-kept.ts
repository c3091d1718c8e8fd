import { keptUntil } from '../src/domain/kept-table.js';
import { change, refuse, type Handled } from './answers.js';
import type { Change } from './changes.js';
import { keptNamed, keptOf } from './kept-tables.js';
import type { TableState } from './table-state.js';

/** A request about an old table that a resync has kept. */
type Request = { readonly requestId: string; readonly name: string | null } & (
  { readonly action: 'dropKept' } | { readonly action: 'keepLonger'; readonly keep: string }
);

/** Begins what is asked for, where such a table is kept. */
export function beginKept(state: TableState, request: Request, at: string): Handled {
  const { requestId } = request;
  const kept = keptNamed(state, request.name);
  if (kept === undefined) return refuse(state, noKept(state, request.name), 'Misconfigured');
  const { name } = kept;
  const start = (made: Change, message: string): Handled =>
    change(state, { type: 'changeRequested', change: made }, message);
  if (request.action === 'dropKept')
    return start({ task: 'dropKept', requestId, at, names: [name] }, `Dropping ${name}.`);
  const until = keptUntil(request.keep, Date.parse(at));
  return start({ task: 'keepLonger', requestId, at, name, until }, `Keeping ${name}.`);
}

function noKept(state: TableState, name: string | null): string {
  const names = keptOf(state).map((each) => each.name);
  if (names.length === 0) return 'No old table of a resync is kept.';
  return name === null
    ? `Say which one: ${names.join(', ')} are kept.`
    : `${name} is not kept: ${names.join(', ')} is.`;
}
