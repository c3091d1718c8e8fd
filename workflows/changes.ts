import type {
  BackfillReceipt,
  KeptReceipt,
  LoaderReceipt,
  LoaderRequest,
  QuarantineReceipt,
  ReplayReceipt,
} from '../src/domain/receipt.js';
import { isReplay, replayName, type ReplayTerms } from '../src/domain/replay.js';
import type { BackfillTerms } from '../src/domain/backfill.js';
import type { CopyPriority } from '../src/domain/copy-priority.js';
import type { Kept } from '../src/domain/kept-table.js';
import { describeChange } from './describe-change.js';
import { copyStage, loaderOf, type StageId, type StageSpec } from '../src/domain/route.js';
import {
  addBackfill,
  type Backfill,
  endBackfill,
  loseLoader,
  prioritize,
  runningBackfills,
  runningResync,
} from './backfills.js';
import { keptSentence, quarantineSentence, sentenceOf } from './change-sentences.js';
import { putOff } from './kept-tables.js';
import type { FailureReport, Pause, TableEvent, TableState, Task } from './table-state.js';

/** A change of a table's loaders or replays, or of its quarantine, one activity each. One is made at a time, beside the stages. */
export type Change = {
  readonly requestId: string;
  readonly at: string;
  /** An activity of it was started: it may have done something, and is not withdrawn any more. */
  readonly begun?: true;
} & (
  | { readonly task: 'addLoader'; readonly loader: LoaderRequest['loader'] }
  | {
      readonly task: 'removeLoader';
      readonly name: string;
      readonly dropTarget: boolean;
      /** The loader was being added: it may be in the ledger, or not. */
      readonly withdraws?: true;
    }
  | { readonly task: 'startReplay'; readonly terms: ReplayTerms }
  | { readonly task: 'cancelReplay'; readonly replay: StageId }
  | { readonly task: 'startBackfill'; readonly terms: BackfillTerms }
  | { readonly task: 'cancelBackfill'; readonly backfill: StageId }
  | { readonly task: 'dropKept'; readonly names: readonly string[] }
  | { readonly task: 'keepLonger'; readonly name: string; readonly until: string | null }
  /** `ids` is null for all that are open. */
  | { readonly task: 'retryQuarantined' | 'dropQuarantined'; readonly ids: readonly string[] | null }
);

/** How the last change ended. */
export interface ChangeOutcome {
  readonly requestId: string;
  readonly task: Change['task'];
  readonly at: string;
  /** What was asked for; absent in older states, and where it was made. */
  readonly what?: string;
  /** Null where it was made. */
  readonly failure: FailureReport | null;
  /** One sentence. */
  readonly message: string;
}

export interface Replay extends ReplayReceipt {
  readonly requestId: string;
  readonly at: string;
  /** `cancelled`: what it has written stays. */
  readonly status: 'running' | 'finished' | 'cancelled';
  readonly endedAt: string | null;
  /** Rows of its copy; absent before that is done, and where it has none. */
  readonly copied?: number;
}

/** What a table has of loaders and replays; parts of its state that older releases do not have. */
export interface ChangeState {
  readonly change?: Change | null;
  readonly changed?: ChangeOutcome | null;
  readonly loaderPauses?: Readonly<Record<string, Pause>>;
  /** Stages that run once and are done, but for the first load. */
  readonly done?: readonly StageId[];
  /** Newest last; of those that ended, the last few. */
  readonly replays?: readonly Replay[];
  /** Likewise. */
  readonly backfills?: readonly Backfill[];
  /** Old tables of its resyncs that are kept; absent: none ever was. */
  readonly kept?: readonly Kept[];
  /** Of its copies; `normal` when absent. */
  readonly priority?: CopyPriority;
  /** Rows in quarantine, as of the last slice or change that said so. */
  readonly quarantined?: number;
}

export type ChangeEvent =
  | { readonly type: 'changeRequested'; readonly change: Change }
  | { readonly type: 'changeBegun' }
  /** Before it had begun, by a request of this id. */
  | { readonly type: 'changeWithdrawn'; readonly requestId: string; readonly task: Change['task']; readonly at: string }
  | {
      readonly type: 'loadersChanged';
      readonly task: 'addLoader' | 'removeLoader';
      readonly at: string;
      readonly receipt: LoaderReceipt;
    }
  | { readonly type: 'replayStarted'; readonly at: string; readonly receipt: ReplayReceipt }
  | { readonly type: 'replayCancelled'; readonly at: string }
  | { readonly type: 'replayFinished'; readonly at: string; readonly stage: StageId }
  | { readonly type: 'backfillStarted'; readonly at: string; readonly receipt: BackfillReceipt }
  | { readonly type: 'backfillCancelled'; readonly at: string }
  | { readonly type: 'quarantineChanged'; readonly at: string; readonly receipt: QuarantineReceipt }
  | { readonly type: 'keptChanged'; readonly at: string; readonly receipt: KeptReceipt }
  | { readonly type: 'prioritized'; readonly priority: CopyPriority }
  | { readonly type: 'loaderPaused'; readonly at: string; readonly name: string; readonly reason: string | null }
  | { readonly type: 'loaderResumed'; readonly name: string };

export const WITHDRAWN = 'The request is withdrawn: nothing of it had begun.';

/** Replays that ended and are still shown. */
const SHOWN_REPLAYS = 5;

export const CHANGE_TASKS: readonly Task[] = [
  'addLoader',
  'removeLoader',
  'startReplay',
  'cancelReplay',
  'startBackfill',
  'cancelBackfill',
  'dropKept',
  'keepLonger',
  'retryQuarantined',
  'dropQuarantined',
] satisfies Change['task'][];

const CHANGE_EVENTS: readonly string[] = [
  'changeRequested',
  'changeBegun',
  'changeWithdrawn',
  'loadersChanged',
  'replayStarted',
  'replayCancelled',
  'replayFinished',
  'backfillStarted',
  'backfillCancelled',
  'quarantineChanged',
  'keptChanged',
  'prioritized',
  'loaderPaused',
  'loaderResumed',
] satisfies ChangeEvent['type'][];

export function isChangeEvent(event: TableEvent): event is ChangeEvent {
  return CHANGE_EVENTS.includes(event.type);
}

export function isChangeTask(task: Task): boolean {
  return CHANGE_TASKS.includes(task);
}

export function reduceChange(state: TableState, event: ChangeEvent): TableState {
  const { change = null } = state;
  switch (event.type) {
    case 'changeRequested':
      return { ...(change === null ? state : withoutFailureOf(state, change.task)), change: event.change };
    case 'changeBegun':
      return change === null || change.begun === true ? state : { ...state, change: { ...change, begun: true } };
    case 'changeWithdrawn': {
      if (change === null) return state;
      const { requestId, task, at } = event;
      return { ...state, change: null, changed: { requestId, task, at, failure: null, message: WITHDRAWN } };
    }
    case 'loadersChanged': {
      const { task, receipt, at } = event;
      const next = loadersChanged(state, task, receipt);
      // A loader that was withdrawn while it was added is in the ledger: its removal takes it out again.
      return task === change?.task ? endChange(next, at, sentenceOf(change, receipt)) : next;
    }
    case 'replayStarted': {
      const { receipt, at } = event;
      const replay: Replay = { ...receipt, requestId: change?.requestId ?? '', at, status: 'running', endedAt: null };
      const replays = trim([...replaysOf(state).filter(({ stage }) => stage !== receipt.stage), replay]);
      return endChange({ ...state, replays }, at, `${receipt.stage} into ${receipt.target} has begun.`);
    }
    case 'replayCancelled': {
      const stage = change?.task === 'cancelReplay' ? change.replay : '';
      return endChange(endReplay(state, stage, 'cancelled', event.at), event.at, `${stage} is cancelled.`);
    }
    case 'replayFinished':
      return endReplay(state, event.stage, 'finished', event.at);
    case 'backfillStarted': {
      if (change?.task !== 'startBackfill') return state;
      const { receipt, at } = event;
      const { requestId, terms } = change;
      const backfill: Backfill = { ...receipt, requestId, terms, at, status: 'running', endedAt: null };
      const backfills = addBackfill(state, backfill);
      return endChange({ ...state, backfills }, at, `${receipt.stage} into ${receipt.target} has begun.`);
    }
    case 'backfillCancelled': {
      const stage = change?.task === 'cancelBackfill' ? change.backfill : '';
      const cancelled = { ...forgetStage(state, stage), backfills: endBackfill(state, stage, 'cancelled', event.at) };
      return endChange(cancelled, event.at, `${stage} is cancelled.`);
    }
    case 'quarantineChanged': {
      const { receipt, at } = event;
      return endChange({ ...state, quarantined: receipt.open }, at, quarantineSentence(change, receipt));
    }
    case 'keptChanged': {
      const { kept } = event.receipt;
      return endChange({ ...state, kept }, event.at, keptSentence(change));
    }
    case 'prioritized':
      return { ...state, ...prioritize(state, event.priority) };
    case 'loaderPaused': {
      const { name, at, reason } = event;
      return { ...state, loaderPauses: { ...state.loaderPauses, [name]: { since: at, reason } } };
    }
    case 'loaderResumed':
      return {
        ...state,
        loaderPauses: without(state.loaderPauses ?? {}, event.name),
        parks: state.parks.filter(({ where }) => loaderOf(where) !== event.name),
      };
    default:
      return event satisfies never;
  }
}

/** A change that a person must correct is dropped: the table goes on as it was. */
export function refuseChange(state: TableState, task: Task, failure: FailureReport, at: string): TableState {
  const { change } = state;
  if (change?.task !== task) return state;
  const { requestId } = change;
  const next = change.task === 'dropKept' ? putOff(state, change.names, at) : state;
  const what = describeChange(change);
  return {
    ...next,
    change: null,
    changed: { requestId, task: change.task, at, what, failure, message: failure.message },
  };
}

/** A stage that runs once is done. The rows of the copy of a replay are rows of the replay. */
export function copyDone(state: TableState, stage: StageId, rows: number): TableState {
  const replays = replaysOf(state).map((each) =>
    copyStage(replayName(each.stage)) === stage ? { ...each, copied: rows } : each,
  );
  return { ...state, done: [...(state.done ?? []), stage], ...(state.replays === undefined ? {} : { replays }) };
}

/** The stages of replays that run. */
export function replayStages(state: ChangeState): readonly StageSpec[] {
  return replaysOf(state).flatMap(({ status, stages }) => (status === 'running' ? stages : []));
}

export function replaysOf({ replays = [] }: ChangeState): readonly Replay[] {
  return replays;
}

export function runningReplays(state: ChangeState): readonly StageId[] {
  return replaysOf(state).flatMap(({ status, stage }) => (status === 'running' ? [stage] : []));
}

/** Whether a stage waits: its loader is paused, or it is about to end. */
export function isHeld({ change, loaderPauses = {}, backfills = [] }: ChangeState, stage: StageId): boolean {
  const loader = backfills.find((each) => each.stage === stage)?.loader ?? loaderOf(stage);
  if (loader !== undefined && loaderPauses[loader] !== undefined) return true;
  // A copy that is made again would hide all older rows of the table, and with them those that a resync is about to bring.
  const resync = runningResync({ backfills });
  if (resync !== undefined && stage === copyStage(resync.loader)) return true;
  if (change?.task === 'removeLoader') return loader === change.name;
  if (change?.task === 'cancelBackfill') return stage === change.backfill;
  if (change?.task === 'cancelReplay') return stage === change.replay || stage === copyStage(replayName(change.replay));
  return false;
}

/** Whether a change has to wait for what still runs: the stages that it ends, or the change that it withdraws. */
export function mustWait(state: TableState, task: Task, running: Iterable<Task>): boolean {
  if (task !== 'removeLoader' && task !== 'cancelReplay' && task !== 'cancelBackfill') return false;
  const { change, loaderPauses: _, ...rest } = state;
  return [...running].some((each) => each === 'addLoader' || isHeld({ ...rest, change: change ?? null }, each));
}

/** Loaders, by the stages that the table has; replays have a loader of their own. */
export function loadersOf({ prepared }: Pick<TableState, 'prepared'>): readonly string[] {
  const stages = (prepared?.stages ?? []).filter(({ runs }) => runs === 'always');
  return stages.flatMap(({ id }) => loaderOf(id) ?? []);
}

function loadersChanged(state: TableState, task: Task, { prepared }: LoaderReceipt): TableState {
  const { change } = state;
  const before = state.prepared;
  const stages = prepared.stages ?? [];
  const next: TableState = {
    ...state,
    prepared: { ...prepared, estimatedRows: before?.estimatedRows ?? prepared.estimatedRows, stages },
    ...(state.kept === undefined ? {} : { kept: prepared.kept ?? [] }),
  };
  if (change?.task !== 'removeLoader' || change.task !== task) return next;
  const lost = runningBackfills(state).filter(({ loader }) => loader === change.name);
  const isGone = (stage: StageId): boolean =>
    loaderOf(stage) === change.name || lost.some((each) => each.stage === stage);
  return {
    ...next,
    loaderPauses: without(state.loaderPauses ?? {}, change.name),
    ...(state.backfills === undefined ? {} : { backfills: loseLoader(state, change.name, change.at) }),
    parks: state.parks.filter(({ where }) => !isGone(where)),
    done: (state.done ?? []).filter((stage) => !isGone(stage)),
    stages: Object.fromEntries(Object.entries(state.stages).filter(([stage]) => !isGone(stage))),
    lastTransientFailure:
      state.lastTransientFailure !== null && isGone(state.lastTransientFailure.where)
        ? null
        : state.lastTransientFailure,
  };
}

function endChange(state: TableState, at: string, message: string): TableState {
  const { change } = state;
  if (change === null || change === undefined) return state;
  const { requestId, task } = change;
  return { ...state, change: null, changed: { requestId, task, at, failure: null, message } };
}

/** What is left of a stage that has ended: no park, no failure. */
export function forgetStage(state: TableState, stage: StageId): TableState {
  const { lastTransientFailure } = state;
  return {
    ...state,
    done: (state.done ?? []).filter((each) => each !== stage),
    parks: state.parks.filter(({ where }) => where !== stage),
    lastTransientFailure: lastTransientFailure?.where === stage ? null : lastTransientFailure,
  };
}

function endReplay(state: TableState, stage: StageId, status: 'finished' | 'cancelled', at: string): TableState {
  const isIts = (task: Task): boolean => task === stage || task === copyStage(replayName(stage));
  return {
    ...state,
    replays: replaysOf(state).map((each) => (each.stage === stage ? { ...each, status, endedAt: at } : each)),
    done: (state.done ?? []).filter((each) => !isIts(each)),
    parks: state.parks.filter(({ where }) => !isIts(where)),
    lastTransientFailure:
      state.lastTransientFailure !== null && isIts(state.lastTransientFailure.where)
        ? null
        : state.lastTransientFailure,
  };
}

function withoutFailureOf(state: TableState, task: Task): TableState {
  return state.lastTransientFailure?.where === task ? { ...state, lastTransientFailure: null } : state;
}

function trim(replays: readonly Replay[]): readonly Replay[] {
  const ended = replays.filter(({ status }) => status !== 'running').slice(-SHOWN_REPLAYS);
  return replays.filter((each) => each.status === 'running' || ended.includes(each));
}

function without<T>(values: Readonly<Record<string, T>>, name: string): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(values).filter(([each]) => each !== name));
}

/** The replay that is meant, where one runs. */
export function replayNamed(state: ChangeState, name: string | null): StageId | undefined {
  const running = runningReplays(state);
  if (name === null) return running.length === 1 ? running[0] : undefined;
  return running.find((stage) => stage === name || (isReplay(stage) && stage === `replay:${name}`));
}
