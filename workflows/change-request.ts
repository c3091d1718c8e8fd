import type { BackfillTerms } from '../src/domain/backfill.js';
import { isCopyPriority, type CopyPriority } from '../src/domain/copy-priority.js';
import { isResyncName } from '../src/domain/resync.js';
import { isReplayName, type ReplayTerms } from '../src/domain/replay.js';
import { plural } from '../src/domain/figures.js';
import { isRowId, MOST_IDS } from '../src/domain/quarantine.js';
import { MAIN_LOADER } from '../src/domain/route.js';
import { change, isText, keep, refuse, type Handled } from './answers.js';
import { type Change, loadersOf, replayNamed, runningReplays, WITHDRAWN } from './changes.js';
import { runningResync } from './backfills.js';
import { beginKept } from './begin-kept.js';
import { beginBackfill, noLoader } from './begin-backfill.js';
import {
  BAD_KEEP,
  BAD_PRIORITY,
  badName,
  isKeep,
  isName,
  readBackfill,
  readReplay,
  readResync,
  TEXT_LIMIT,
} from './read-terms.js';
import { isLeaving, type TableState } from './table-state.js';
import { anotherChange, cancellingAction } from './withdraw-change.js';

/** A message about loaders, replays, backfills or the quarantine that was understood. */
export type ChangeRequest = { readonly requestId: string | null } & (
  | {
      readonly action: 'addLoader';
      readonly name: string;
      readonly target: string | null;
      readonly connection: string | null;
    }
  | { readonly action: 'removeLoader'; readonly name: string; readonly dropTarget: boolean }
  | { readonly action: 'pauseLoader'; readonly name: string; readonly reason: string | null }
  | { readonly action: 'resumeLoader'; readonly name: string }
  | { readonly action: 'replay'; readonly terms: ReplayTerms }
  | { readonly action: 'cancelReplay'; readonly replay: string | null }
  | { readonly action: 'backfill'; readonly terms: BackfillTerms }
  | { readonly action: 'cancelBackfill'; readonly backfill: string | null }
  | { readonly action: 'resync'; readonly terms: BackfillTerms }
  | { readonly action: 'cancelResync' }
  | { readonly action: 'dropKept'; readonly name: string | null }
  | { readonly action: 'keepLonger'; readonly name: string | null; readonly keep: string }
  | { readonly action: 'prioritize'; readonly priority: CopyPriority }
  | { readonly action: 'retryQuarantined' | 'dropQuarantined'; readonly ids: readonly string[] | null }
);

export type ChangeAction = ChangeRequest['action'];

/** The fields of each message, all but `requestId`; those that must be there end in `!`. */
export const CHANGE_FIELDS: Readonly<Record<ChangeAction, readonly string[]>> = {
  addLoader: ['requestId', 'name', 'target', 'server'],
  removeLoader: ['requestId', 'name', 'dropTarget'],
  pauseLoader: ['requestId', 'name', 'reason'],
  resumeLoader: ['requestId', 'name'],
  replay: ['requestId', 'from', 'to', 'loader', 'into', 'topicOnly'],
  cancelReplay: ['requestId', 'replay'],
  backfill: ['requestId', 'from', 'to', 'where', 'prune', 'loader', 'priority'],
  cancelBackfill: ['requestId', 'backfill'],
  resync: ['requestId', 'loader', 'keep', 'priority'],
  cancelResync: ['requestId'],
  dropKept: ['requestId', 'name'],
  keepLonger: ['requestId', 'name', 'keep'],
  prioritize: ['requestId', 'priority'],
  retryQuarantined: ['requestId', 'ids'],
  dropQuarantined: ['requestId', 'ids'],
};

export function isChangeAction(action: string): action is ChangeAction {
  return Object.hasOwn(CHANGE_FIELDS, action);
}

export function isChangeRequest<Other extends { readonly action: string }>(
  request: Other | ChangeRequest,
): request is ChangeRequest {
  return isChangeAction(request.action);
}

const SERVER = /^[a-z0-9]+(?:_[a-z0-9]+)*$/u;

/** Reads the fields of a message whose names are known to be right. @returns a sentence for what is wrong with one */
export function readChangeRequest(
  action: ChangeAction,
  requestId: string | null,
  fields: Readonly<Record<string, unknown>>,
): ChangeRequest | string {
  const { name = null, target = null, server = null, reason = null, dropTarget = false } = fields;
  switch (action) {
    case 'addLoader':
      if (!isName(name)) return badName(name);
      if (name === MAIN_LOADER || isReplayName(name) || isResyncName(name))
        return `name must not be ${name}: main is the first loader, replay-N are replays, resync-N are resyncs.`;
      if (!isText(target, TEXT_LIMIT)) return 'target must be a text: table or database.table.';
      if (!isText(server, TEXT_LIMIT) || (server !== null && !SERVER.test(server)))
        return 'server must be the name of a ClickHouse server in the settings, in lower case: eu for CH_URL_EU.';
      return { action, requestId, name, target, connection: server };
    case 'removeLoader':
      if (!isName(name)) return badName(name);
      if (typeof dropTarget !== 'boolean') return 'dropTarget must be true or false.';
      return { action, requestId, name, dropTarget };
    case 'pauseLoader':
      if (!isName(name)) return badName(name);
      if (!isText(reason, TEXT_LIMIT)) return `reason must be a text of 1 to ${TEXT_LIMIT} characters.`;
      return { action, requestId, name, reason };
    case 'resumeLoader':
      return isName(name) ? { action, requestId, name } : badName(name);
    case 'replay': {
      const terms = readReplay(fields);
      return typeof terms === 'string' ? terms : { action, requestId, terms };
    }
    case 'cancelReplay': {
      const { replay = null } = fields;
      if (!isText(replay, TEXT_LIMIT)) return 'replay must be the name of a replay: replay:1.';
      return { action, requestId, replay };
    }
    case 'backfill': {
      const terms = readBackfill(fields);
      return typeof terms === 'string' ? terms : { action, requestId, terms };
    }
    case 'cancelBackfill': {
      const { backfill = null } = fields;
      if (!isText(backfill, TEXT_LIMIT)) return 'backfill must be the name of a backfill: backfill:1.';
      return { action, requestId, backfill };
    }
    case 'resync': {
      const terms = readResync(fields);
      return typeof terms === 'string' ? terms : { action, requestId, terms };
    }
    case 'cancelResync':
      return { action, requestId };
    case 'dropKept':
    case 'keepLonger': {
      if (!isText(name, TEXT_LIMIT)) return 'name must be the name of a table that is kept: db.orders__r1_old.';
      if (action === 'dropKept') return { action, requestId, name };
      const { keep = null } = fields;
      return isKeep(keep) ? { action, requestId, name, keep } : BAD_KEEP;
    }
    case 'prioritize': {
      const { priority = null } = fields;
      return isCopyPriority(priority) ? { action, requestId, priority } : BAD_PRIORITY;
    }
    case 'retryQuarantined':
    case 'dropQuarantined': {
      const { ids = null } = fields;
      if (ids !== null && !areIds(ids)) return `ids must be a list of 1 to ${MOST_IDS} texts: ["12", "13"].`;
      return { action, requestId, ids };
    }
    default:
      return action satisfies never;
  }
}

function areIds(value: unknown): value is readonly string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > MOST_IDS) return false;
  return value.every((id) => typeof id === 'string' && isRowId(id));
}

export function handleChange(state: TableState, request: ChangeRequest, at: string): Handled {
  if (isLeaving(state)) return refuse(state, 'The table is being removed.');
  if (request.action === 'prioritize') return prioritize(state, request.priority);
  if (state.lifecycle.step !== 'running') return refuse(state, 'The table is not prepared yet: ask again when it is.');
  switch (request.action) {
    case 'pauseLoader':
      return pauseLoader(state, request, at);
    case 'resumeLoader':
      return resumeLoader(state, request.name);
    case 'addLoader':
    case 'removeLoader':
    case 'replay':
    case 'cancelReplay':
    case 'backfill':
    case 'cancelBackfill':
    case 'resync':
    case 'cancelResync':
    case 'dropKept':
    case 'keepLonger':
    case 'retryQuarantined':
    case 'dropQuarantined':
      return begin(state, request, at);
    default:
      return request satisfies never;
  }
}

/** They write to the live table and not to the one that a resync fills, or take one of them away. */
const WAIT_FOR_RESYNC: readonly ChangeAction[] = ['removeLoader', 'replay', 'backfill', 'resync', 'retryQuarantined'];

type Begun = Exclude<ChangeRequest, { action: 'pauseLoader' | 'resumeLoader' | 'prioritize' }>;

function begin(state: TableState, request: Begun, at: string): Handled {
  const { state: next, answer } = beginNow(state, request, at);
  const waits = state.pause !== null && answer.changed && (next.change ?? null) !== null;
  return { state: next, answer: waits ? { ...answer, message: `${answer.message} ${WAITS}` } : answer };
}

const WAITS = 'The table is paused: it begins after resume.';

function beginNow(state: TableState, request: Begun, at: string): Handled {
  const pending = state.change ?? null;
  if (pending !== null && isWithdrawal(request, pending)) {
    const { task } = pending;
    const requestId = request.requestId ?? `${at}/${request.action}`;
    return change(state, { type: 'changeWithdrawn', requestId, task, at }, WITHDRAWN);
  }
  if (pending !== null && !withdraws(request, pending))
    return refuse(state, anotherChange(pending, state.pause !== null));
  const { routeChange } = state;
  if (routeChange !== undefined)
    return refuse(state, `The route is being changed, since ${routeChange.since}: ask again when that is done.`);
  const resync = runningResync(state);
  if (resync !== undefined && WAIT_FOR_RESYNC.includes(request.action))
    return refuse(state, `${resync.stage} fills a fresh table: ask again when it has ended, or cancel it.`);
  const loaders = loadersOf(state);
  const requestId = request.requestId ?? `${at}/${request.action}`;
  const start = (made: Change, message: string): Handled =>
    change(state, { type: 'changeRequested', change: made }, message);
  switch (request.action) {
    case 'addLoader': {
      const { name, target, connection } = request;
      if (loaders.includes(name)) return refuse(state, `The table has a loader ${name} already.`, 'Misconfigured');
      const loader = { name, ...(target === null ? {} : { target }), ...(connection === null ? {} : { connection }) };
      return start({ task: 'addLoader', requestId, at, loader }, `Adding loader ${name}.`);
    }
    case 'removeLoader': {
      const { name, dropTarget } = request;
      if (pending !== null)
        return start(
          { task: 'removeLoader', requestId, at, name, dropTarget, withdraws: true },
          `Loader ${name} is not added yet: adding it is given up.`,
        );
      if (!loaders.includes(name)) return refuse(state, noLoader(name, loaders), 'Misconfigured');
      if (loaders.length === 1)
        return refuse(state, `${name} is the only loader: add another first, or remove the table.`);
      return start({ task: 'removeLoader', requestId, at, name, dropTarget }, `Removing loader ${name}.`);
    }
    case 'replay': {
      const { terms } = request;
      if (terms.loader !== undefined && !loaders.includes(terms.loader))
        return refuse(state, noLoader(terms.loader, loaders), 'Misconfigured');
      return start({ task: 'startReplay', requestId, at, terms }, 'Starting the replay.');
    }
    case 'cancelReplay': {
      const replay = replayNamed(state, request.replay);
      if (replay !== undefined)
        return start(
          { task: 'cancelReplay', requestId, at, replay },
          `Cancelling ${replay}: what it has written stays.`,
        );
      const running = runningReplays(state);
      if (running.length === 0) return refuse(state, 'No replay runs.');
      return refuse(state, `Say which replay: ${running.join(', ')} run.`, 'Misconfigured');
    }
    case 'backfill':
    case 'resync':
    case 'cancelBackfill':
    case 'cancelResync':
      return beginBackfill(state, { ...request, requestId }, at);
    case 'dropKept':
    case 'keepLonger':
      return beginKept(state, { ...request, requestId }, at);
    case 'retryQuarantined':
    case 'dropQuarantined': {
      const { action, ids } = request;
      const which = ids === null ? 'all rows' : plural(ids.length, 'row');
      const doing =
        action === 'retryQuarantined' ? `Inserting ${which} of the quarantine again.` : `Dropping ${which}.`;
      return start({ task: action, requestId, at, ids }, doing);
    }
    default:
      return request satisfies never;
  }
}

/** `backfill --cancel` for a backfill of which no activity ran. One that is named runs already, so another one is meant. */
function isWithdrawal(request: Begun, pending: Change): boolean {
  if ('backfill' in request && request.backfill !== null) return false;
  if ('replay' in request && request.replay !== null) return false;
  return request.action === cancellingAction(pending);
}

/** Adding a loader may be retried for ever: its removal ends that. */
function withdraws(request: Begun, pending: Change): boolean {
  return request.action === 'removeLoader' && pending.task === 'addLoader' && pending.loader.name === request.name;
}

function prioritize(state: TableState, priority: CopyPriority): Handled {
  return change(state, { type: 'prioritized', priority }, `Copies of the table have ${priority} priority.`);
}

function pauseLoader(
  state: TableState,
  { name, reason }: { name: string; reason: string | null },
  at: string,
): Handled {
  const loaders = loadersOf(state);
  if (!loaders.includes(name)) return refuse(state, noLoader(name, loaders), 'Misconfigured');
  const since = state.loaderPauses?.[name]?.since;
  if (since !== undefined) return keep(state, `Loader ${name} is paused already, since ${since}.`);
  return change(state, { type: 'loaderPaused', at, name, reason }, `Loader ${name} is paused: the others go on.`);
}

function resumeLoader(state: TableState, name: string): Handled {
  const loaders = loadersOf(state);
  if (!loaders.includes(name)) return refuse(state, noLoader(name, loaders), 'Misconfigured');
  const isParked = state.parks.some(({ where }) => where.endsWith(`:${name}`));
  if (state.loaderPauses?.[name] === undefined && !isParked)
    return keep(state, `Nothing to resume: loader ${name} is neither paused nor parked.`);
  const waits = state.pause === null ? '' : ' The table is paused: it goes on when that is resumed.';
  return change(state, { type: 'loaderResumed', name }, `Loader ${name} is resumed.${waits}`);
}
