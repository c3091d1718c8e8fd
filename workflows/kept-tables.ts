import type { Kept } from '../src/domain/kept-table.js';
import type { ChangeState } from './changes.js';
import type { TableState } from './table-state.js';

const HOUR_MS = 3_600_000;

export function keptOf({ kept = [] }: ChangeState): readonly Kept[] {
  return kept;
}

/** The one that is meant, by its name with or without its database; the only one where no name is given. */
export function keptNamed(state: ChangeState, name: string | null): Kept | undefined {
  const kept = keptOf(state);
  if (name === null) return kept.length === 1 ? kept[0] : undefined;
  return kept.find((each) => each.name === name || each.name.endsWith(`.${name}`));
}

/** When the next one is to be dropped, Unix time in milliseconds; undefined for none. */
export function nextDrop(state: ChangeState): number | undefined {
  const times = keptOf(state).flatMap(({ until }) => (until === null ? [] : [Date.parse(until)]));
  return times.length === 0 ? undefined : Math.min(...times);
}

/** Those whose time is over, where they can be dropped now. @param at Unix time in milliseconds */
export function dueKept(state: TableState, at: number): readonly string[] {
  const { lifecycle, pause, change = null, routeChange } = state;
  if (lifecycle.step !== 'running' || pause !== null || change !== null || routeChange !== undefined) return [];
  return keptOf(state).flatMap(({ name, until }) => (until !== null && Date.parse(until) <= at ? [name] : []));
}

/** They could not be dropped, and a person has to do something about it: they are tried again in an hour. */
export function putOff<State extends ChangeState>(state: State, names: readonly string[], at: string): State {
  if (state.kept === undefined) return state;
  const later = new Date(Date.parse(at) + HOUR_MS).toISOString();
  const isDue = ({ name, until }: Kept): boolean => names.includes(name) && until !== null && until <= at;
  return { ...state, kept: state.kept.map((each) => (isDue(each) ? { ...each, until: later } : each)) };
}

/** For the page of the table. */
export function keptLine({ name, until }: Kept): string {
  const end = until === null ? 'until somebody drops it' : `until ${until}`;
  return `\`${name}\`, the old table of a resync, is kept ${end}. Signals: \`dropKept\`, \`keepLonger\`.`;
}
