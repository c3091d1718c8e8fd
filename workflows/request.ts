import type { RouteOptions } from '../src/domain/route-change.js';
import type { Answer } from './messages.js';
import { isSameWish, readRouteOptions, ROUTE_FIELDS } from './route-options.js';
import { isLeaving, isParked, phaseOf, reduce, type TableEvent, type TableState } from './table-state.js';

/** A message that was understood. */
export type Request =
  | { readonly action: 'pause'; readonly requestId: string | null; readonly reason: string | null }
  | { readonly action: 'resume'; readonly requestId: string | null }
  | { readonly action: 'configure'; readonly requestId: string | null; readonly options: RouteOptions }
  | { readonly action: 'remove'; readonly requestId: string | null; readonly dropTarget: boolean };

export type Action = Request['action'];

const FIELDS: Readonly<Record<Action, readonly string[]>> = {
  pause: ['requestId', 'reason'],
  resume: ['requestId'],
  configure: ['requestId', ...ROUTE_FIELDS],
  remove: ['requestId', 'dropTarget'],
};
const REQUEST_ID_LIMIT = 200;
const REASON_LIMIT = 500;

/**
 * Reads the argument of a message, which a person may have typed. An unknown field is refused: a misspelt `dropTarget` must not
 * become a removal that keeps the target.
 * @returns the request, or a sentence that says what is wrong with it
 */
export function readRequest(action: Action, message: unknown): Request | string {
  const fields = message ?? {};
  if (typeof fields !== 'object' || Array.isArray(fields)) return `${action} takes one JSON object, for example {}.`;
  const unknown = Object.keys(fields).find((name) => !FIELDS[action].includes(name));
  if (unknown !== undefined)
    return `${action} knows no field "${unknown.slice(0, 50)}": it takes ${FIELDS[action].join(', ')}.`;

  const { requestId = null, reason = null, dropTarget = false } = fields as Record<string, unknown>;
  if (!isText(requestId, REQUEST_ID_LIMIT)) return `requestId must be a text of 1 to ${REQUEST_ID_LIMIT} characters.`;
  if (!isText(reason, REASON_LIMIT)) return `reason must be a text of 1 to ${REASON_LIMIT} characters.`;
  if (typeof dropTarget !== 'boolean') return 'dropTarget must be true or false.';

  switch (action) {
    case 'pause':
      return { action, requestId, reason };
    case 'resume':
      return { action, requestId };
    case 'configure': {
      const options = readRouteOptions(fields as Record<string, unknown>);
      return typeof options === 'string' ? options : { action, requestId, options };
    }
    case 'remove':
      return { action, requestId, dropTarget };
    default:
      return action satisfies never;
  }
}

/** Applies a request, once for each request id, and says what happened. Pure: signals and updates share it. */
export function handleRequest(state: TableState, request: Request, at: string): { state: TableState; answer: Answer } {
  const { requestId } = request;
  if (requestId !== null && state.handled.includes(requestId))
    return { state, answer: answer(state, true, false, `Request ${requestId} was handled before: nothing to do.`) };
  const remembered = requestId === null ? state : reduce(state, { type: 'requestHandled', requestId });
  switch (request.action) {
    case 'pause':
      return pause(remembered, request.reason, at);
    case 'resume':
      return resume(remembered);
    case 'configure':
      return configure(remembered, request.options, at);
    case 'remove':
      return remove(remembered, request.dropTarget, at);
    default:
      return request satisfies never;
  }
}

interface Handled {
  readonly state: TableState;
  readonly answer: Answer;
}

function pause(state: TableState, reason: string | null, at: string): Handled {
  if (isLeaving(state)) return refuse(state, 'The table is being removed: it cannot be paused any more.');
  if (state.pause !== null) return keep(state, `Paused already, since ${state.pause.since}.`);
  return change(state, { type: 'paused', at, reason }, 'Paused: what runs finishes the batch in hand and stops.');
}

function resume(state: TableState): Handled {
  const parked = state.parks.map((park) => park.where);
  if (state.pause !== null || parked.length > 0) {
    const again = parked.length > 0 ? ` Tried again: ${parked.join(', ')}.` : '';
    return change(state, { type: 'resumed' }, `Resumed.${again}`);
  }
  if (isLeaving(state)) return refuse(state, 'Nothing to resume: the table is being removed.');
  return keep(state, `Nothing to resume: the table is ${phaseOf(state)}.`);
}

function configure(state: TableState, options: RouteOptions, at: string): Handled {
  if (isLeaving(state)) return refuse(state, 'The table is being removed: it cannot be changed any more.');
  if (state.prepared === null)
    return refuse(
      state,
      'The table is not prepared yet. Change it when it is, or remove it and add it with other options.',
    );
  if (
    state.routeChange !== undefined &&
    isSameWish(state.routeChange.options, options) &&
    !isParked(state, 'configure')
  )
    return keep(state, `Being changed so already, since ${state.routeChange.since}.`);
  const waits = state.pause === null ? '' : ' It is paused: nothing happens before resume.';
  return change(
    state,
    { type: 'routeChangeRequested', at, options },
    `Accepted: the route of the table is being changed.${waits}`,
  );
}

function remove(state: TableState, dropTarget: boolean, at: string): Handled {
  const { lifecycle: life } = state;
  const asked = { type: 'removeRequested', at, dropTarget } as const;
  const target = dropTarget ? 'dropping the target' : 'keeping the target';
  if (!isLeaving(state) || isParked(state, 'remove')) return change(state, asked, `Removing, ${target}.`);
  if ('dropTarget' in life && life.dropTarget === dropTarget) return keep(state, `Being removed already, ${target}.`);
  return refuse(state, `Being removed already, but not ${target}: a removal keeps the terms it began with.`);
}

function change(state: TableState, event: TableEvent, message: string): Handled {
  const next = reduce(state, event);
  return { state: next, answer: answer(next, true, true, message) };
}

function keep(state: TableState, message: string): Handled {
  return { state, answer: answer(state, true, false, message) };
}

function refuse(state: TableState, message: string): Handled {
  return { state, answer: answer(state, false, false, message) };
}

function answer(state: TableState, accepted: boolean, changed: boolean, message: string): Answer {
  return { accepted, changed, phase: phaseOf(state), message };
}

function isText(value: unknown, limit: number): value is string | null {
  return value === null || (typeof value === 'string' && value.length > 0 && value.length <= limit);
}
