import type { Answer, RefusalKind } from './messages.js';
import { phaseOf, reduce, type TableEvent, type TableState } from './table-state.js';

/** What became of a request: the state after it, and what its sender is told. */
export interface Handled {
  readonly state: TableState;
  readonly answer: Answer;
}

export function change(state: TableState, event: TableEvent, message: string): Handled {
  const next = reduce(state, event);
  return { state: next, answer: answer(next, true, true, message) };
}

export function keep(state: TableState, message: string): Handled {
  return { state, answer: answer(state, true, false, message) };
}

/** @param kind what it is to the sender: `Misconfigured` where the request names what is not there */
export function refuse(state: TableState, message: string, kind: RefusalKind = 'UnsuitableTable'): Handled {
  return { state, answer: { ...answer(state, false, false, message), kind } };
}

function answer(state: TableState, accepted: boolean, changed: boolean, message: string): Answer {
  return { accepted, changed, phase: phaseOf(state), message };
}

/** Null for a field that was left out. */
export function isText(value: unknown, limit: number): value is string | null {
  return value === null || (typeof value === 'string' && value.length > 0 && value.length <= limit);
}
