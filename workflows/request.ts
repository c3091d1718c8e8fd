import type { RouteOptions } from '../src/domain/route-change.js';
import { change, isText, keep, refuse, type Handled } from './answers.js';
import {
  CHANGE_FIELDS,
  type ChangeRequest,
  handleChange,
  isChangeAction,
  isChangeRequest,
  readChangeRequest,
} from './change-request.js';
import { runningBackfills } from './backfills.js';
import { type ChangeState, runningReplays } from './changes.js';
import { isSameWish, readRouteOptions, ROUTE_FIELDS } from './route-options.js';
import { isLeaving, isParked, phaseOf, reduce, type TableState } from './table-state.js';
import { anotherChange } from './withdraw-change.js';

/** A message that was understood. */
export type Request =
  | { readonly action: 'pause'; readonly requestId: string | null; readonly reason: string | null }
  | { readonly action: 'resume'; readonly requestId: string | null }
  | { readonly action: 'configure'; readonly requestId: string | null; readonly options: RouteOptions }
  | { readonly action: 'remove'; readonly requestId: string | null; readonly dropTarget: boolean }
  | ChangeRequest;

export type Action = Request['action'];

const FIELDS: Readonly<Record<Action, readonly string[]>> = {
  pause: ['requestId', 'reason'],
  resume: ['requestId'],
  configure: ['requestId', ...ROUTE_FIELDS],
  remove: ['requestId', 'dropTarget'],
  ...CHANGE_FIELDS,
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

  if (isChangeAction(action)) return readChangeRequest(action, requestId, fields as Record<string, unknown>);
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
export function handleRequest(state: TableState, request: Request, at: string): Handled {
  const { requestId } = request;
  if (requestId !== null && state.handled.includes(requestId))
    return keep(state, `Request ${requestId} was handled before: nothing to do.`);
  const remembered = requestId === null ? state : reduce(state, { type: 'requestHandled', requestId });
  if (isChangeRequest(request)) return handleChange(remembered, request, at);
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

export const LEAVING = 'The table is being removed: it cannot be changed any more.';

/** What a change of the route waits for; undefined where it may begin. */
export function busyWith(state: ChangeState, isPaused: boolean): string | undefined {
  const { change = null } = state;
  if (change !== null) return anotherChange(change, isPaused);
  const [backfill] = runningBackfills(state);
  if (backfill !== undefined) return `${backfill.stage} reads the table: ask again when it has ended, or cancel it.`;
  const replays = runningReplays(state);
  return replays.length === 0
    ? undefined
    : `${replays.join(', ')} reads the topic: ask again when it has ended, or cancel it.`;
}

function configure(state: TableState, options: RouteOptions, at: string): Handled {
  if (isLeaving(state)) return refuse(state, LEAVING);
  if (state.prepared === null)
    return refuse(
      state,
      'The table is not prepared yet. Change it when it is, or remove it and add it with other options.',
    );
  const { loaderPauses = {} } = state;
  const busy = busyWith(state, state.pause !== null);
  if (busy !== undefined) return refuse(state, busy);
  if (
    state.routeChange !== undefined &&
    isSameWish(state.routeChange.options, options) &&
    !isParked(state, 'configure')
  )
    return keep(state, `Being changed so already, since ${state.routeChange.since}.`);
  const paused = Object.keys(loaderPauses);
  const waits = [
    ...(state.pause === null ? [] : [' It is paused: nothing happens before resume.']),
    ...(paused.length === 0
      ? []
      : [` Loader ${paused.join(', ')} is paused: where the topic must be empty first, it waits for it.`]),
  ].join('');
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
