import type {
  ChangeReceipt,
  CopyReceipt,
  PrepareReceipt,
  RemoveReceipt,
  SliceReceipt,
  WorkerNote,
} from '../src/domain/receipt.js';
import type { SearchAttributeName } from '../src/domain/search-attributes.js';
import { readsAgain } from '../src/domain/backfill.js';
import { COPY_STAGE, type StageId, type StageSpec } from '../src/domain/route.js';
import type { RouteOptions } from '../src/domain/route-change.js';
import { FIRST_SHAPE, type ShapeChange } from '../src/domain/shape.js';
import type { FailureKind } from '../src/failure/kinds.js';
import {
  type ChangeEvent,
  type ChangeState,
  copyDone,
  forgetStage,
  isChangeEvent,
  isChangeTask,
  reduceChange,
  refuseChange,
  replayStages,
} from './changes.js';
import { backfillStages, endBackfill, moveBackfill } from './backfills.js';
import {
  CONFIGURE_TASK,
  holdRouteChange,
  moveRouteChange,
  requestRouteChange,
  type RouteChange,
} from './route-change.js';
import { addSlice, type StageTotals, totalsOf } from './stage-totals.js';
import { stopTask } from './stop-task.js';

/**
 * The life of one table, as a pure state machine.
 *
 *   lifecycle   what runs                            moves on when
 *   preparing   prepare                              prepared -> running; removal asked for -> removing
 *   running     its stages; copy until it is done    removal asked for -> removing
 *   removing    remove, after all else has stopped   removed -> removed
 *   removed     nothing; the workflow ends
 *
 * Pause and parks are independent of the lifecycle: they stop tasks and do not change it.
 *   pause   asked for by a person: nothing runs, in `preparing` and in `running`. A request to remove lifts it.
 *   parks   one for each task that failed for a reason that only a person can clear. A parked task does not run; the others
 *           do, so the outbox drains even if ClickHouse refuses rows. `resumed` lifts the pause and every park.
 *
 *   change  a change of the route that somebody asked for, while it is under way: `route-change.ts` says what runs beside it. It waits
 *           for the first load. Parked, it leaves the table to the route it has.
 *
 * The phase that people see is derived from these, never stored:
 *   removed, removing (parked, if the removal itself is), paused, parked, preparing, copying, configuring, streaming: the first
 *   that holds.
 *
 * Which stages a table has is data, from its `prepared` receipt. Positions are in the ledger and not here: if this state is lost,
 * totals and a checkpoint are lost, and no row.
 */
export interface TableState extends ChangeState {
  readonly stateVersion: 2;
  readonly lifecycle: Lifecycle;
  readonly pause: Pause | null;
  /** Oldest first, at most one a task. */
  readonly parks: readonly TaskFailure[];
  /** The last failure that needed no person, until its task succeeds. */
  readonly lastTransientFailure: TaskFailure | null;
  readonly prepared: Prepared | null;
  /** Null too while it begins again, because the columns of the table were changed. */
  readonly copied: CopyReceipt | null;
  /** By stage: what its slices have done, where more is to be copied. Absent: nothing is. */
  readonly copying?: Readonly<Record<StageId, CopyReceipt>>;
  /** The last change of the columns that a slice has noted; absent where none did. */
  readonly shape?: ShapeChange;
  readonly routeChange?: RouteChange;
  /** By id; of the stages that moved anything, or tried to. */
  readonly stages: Readonly<Record<StageId, StageTotals>>;
  /** Of the stages that go on without their slices: those that were stopped, and not started since. Absent in older states. */
  readonly stopped?: readonly StageId[];
  /** Ids of the requests handled last, oldest first: a repeat does nothing. */
  readonly handled: readonly string[];
  /** Search attributes that the namespace lacks, as the start or the last receipt said. Absent: none. */
  readonly lackingAttributes?: readonly SearchAttributeName[];
  /** The last message that could not be understood: signals have no other way to answer. */
  readonly ignored: IgnoredMessage | null;
  /** Runs of the workflow so far, this one included: it continues as new when its history grows long. */
  readonly runs: number;
  /** ISO 8601, as every time here. */
  readonly startedAt: string;
}

export type Lifecycle =
  | { readonly step: 'preparing' }
  | { readonly step: 'running' }
  | { readonly step: 'removing'; readonly dropTarget: boolean; readonly since: string }
  | {
      readonly step: 'removed';
      readonly dropTarget: boolean;
      readonly at: string;
      /** Null if it is not known what was dropped; absent in older states. */
      readonly receipt?: RemoveReceipt | null;
    };

export interface Pause {
  readonly since: string;
  readonly reason: string | null;
}

/**
 * A piece of work: `prepare`, `configure`, `remove`, a change of loaders or replays, or a stage of the table. One activity each, and at
 * most one of each at a time.
 */
export type Task = StageId;

/** What preparing found and made. */
export interface Prepared extends PrepareReceipt {
  readonly stages: readonly StageSpec[];
}

export const PHASES = [
  'preparing',
  'copying',
  'configuring',
  'streaming',
  'paused',
  'parked',
  'removing',
  'removed',
] as const;
export type Phase = (typeof PHASES)[number];

/** A failure as it is shown. */
export interface FailureReport {
  readonly kind: FailureKind;
  readonly message: string;
  readonly remedy: string;
  /** Identity of the worker that met it. */
  readonly worker?: string | undefined;
}

export interface TaskFailure extends FailureReport {
  readonly where: Task;
  readonly since: string;
}

export interface IgnoredMessage {
  readonly at: string;
  readonly name: string;
  readonly problem: string;
}

export type TableEvent =
  | { readonly type: 'prepared'; readonly receipt: Prepared }
  | { readonly type: 'routeChangeRequested'; readonly at: string; readonly options: RouteOptions }
  /** A step of the change that was asked for with these options has ended. */
  | {
      readonly type: 'routeChangeMoved';
      readonly at: string;
      readonly options: RouteOptions;
      readonly receipt: ChangeReceipt;
    }
  /** A slice of a copy has ended. `stage` is absent for the first load of the table. */
  | { readonly type: 'copied'; readonly at?: string; readonly receipt: CopyReceipt; readonly stage?: StageId }
  | ChangeEvent
  | { readonly type: 'sliceEnded'; readonly at: string; readonly receipt: SliceReceipt }
  | { readonly type: 'stageStarted'; readonly stage: StageId }
  | { readonly type: 'stageStopped'; readonly stage: StageId }
  | { readonly type: 'removed'; readonly at: string; readonly receipt: RemoveReceipt | null }
  | {
      readonly type: 'failed';
      readonly at: string;
      readonly where: Task;
      readonly failure: FailureReport;
      /** Only a person can clear it. */
      readonly parked: boolean;
    }
  | { readonly type: 'paused'; readonly at: string; readonly reason: string | null }
  | { readonly type: 'resumed' }
  | { readonly type: 'removeRequested'; readonly at: string; readonly dropTarget: boolean }
  | { readonly type: 'requestHandled'; readonly requestId: string }
  | { readonly type: 'messageIgnored'; readonly message: IgnoredMessage }
  | { readonly type: 'continued' };

/** How many request ids are remembered: enough for any burst of repeats, and a small part of the state. */
export const HANDLED_LIMIT = 100;

export function initialState(startedAt: string): TableState {
  return {
    stateVersion: 2,
    lifecycle: { step: 'preparing' },
    pause: null,
    parks: [],
    lastTransientFailure: null,
    prepared: null,
    copied: null,
    stages: {},
    handled: [],
    ignored: null,
    runs: 1,
    startedAt,
  };
}

/** The only place where the state changes. Every event is legal in every state: a late event must never block a table. */
export function reduce(state: TableState, event: TableEvent): TableState {
  if (isChangeEvent(event)) return reduceChange(state, event);
  switch (event.type) {
    case 'prepared': {
      const lifecycle = state.lifecycle.step === 'preparing' ? ({ step: 'running' } as const) : state.lifecycle;
      const { kept } = event.receipt;
      return {
        ...succeed(state, 'prepare'),
        lifecycle,
        prepared: event.receipt,
        ...(kept === undefined ? {} : { kept }),
      };
    }
    case 'routeChangeRequested':
      return requestRouteChange(state, event.options, event.at);
    case 'routeChangeMoved':
      return moveRouteChange(succeed(state, CONFIGURE_TASK), event.options, event.receipt, event.at);
    case 'copied': {
      const { stage = COPY_STAGE } = event;
      const { [stage]: before, ...others } = state.copying ?? {};
      const receipt = addCopySlice(before, event.receipt);
      const isFinished = receipt.finished !== false;
      const copying = isFinished ? others : { ...others, [stage]: receipt };
      const moved = {
        ...succeed(state, stage),
        ...lackingNow(state, event.receipt),
        ...(state.copying === undefined && isFinished ? {} : { copying }),
      };
      if (readsAgain(stage)) {
        const backfills = moveBackfill(moved, stage, receipt);
        if (!isFinished) return { ...moved, backfills };
        const { kept } = event.receipt;
        return {
          ...forgetStage(moved, stage),
          ...(kept === undefined ? {} : { kept }),
          backfills: endBackfill({ backfills }, stage, 'finished', event.at ?? ''),
        };
      }
      if (!isFinished) return moved;
      return stage === COPY_STAGE ? { ...moved, copied: receipt } : copyDone(moved, stage, receipt.rows);
    }
    case 'sliceEnded': {
      const { stage } = event.receipt;
      const stages = { ...state.stages, [stage]: addSlice(totalsOf(state, stage), event.receipt, event.at) };
      const noted = { ...quarantinedOf(state, event.receipt), ...lackingNow(state, event.receipt) };
      const next = reshape({ ...succeed(state, stage), stages, ...noted }, event.receipt);
      return event.receipt.copyAgain === true ? forgetCopies(next) : next;
    }
    case 'stageStarted':
      return { ...state, stopped: stoppedOf(state).filter((stage) => stage !== event.stage) };
    case 'stageStopped':
      return { ...succeed(state, stopTask(event.stage)), stopped: [...stoppedOf(state), event.stage] };
    case 'removed': {
      const dropTarget = state.lifecycle.step === 'removing' && state.lifecycle.dropTarget;
      return {
        ...state,
        lifecycle: { step: 'removed', dropTarget, at: event.at, receipt: event.receipt },
        pause: null,
        parks: [],
        lastTransientFailure: null,
      };
    }
    case 'failed':
      return fail(state, { where: event.where, since: event.at, ...event.failure }, event.parked);
    case 'paused':
      if (isLeaving(state) || state.pause !== null) return state;
      return { ...state, pause: { since: event.at, reason: event.reason } };
    case 'resumed':
      return { ...state, pause: null, parks: [] };
    case 'removeRequested':
      return requestRemoval(state, event.dropTarget, event.at);
    case 'requestHandled':
      return { ...state, handled: [...state.handled, event.requestId].slice(-HANDLED_LIMIT) };
    case 'messageIgnored':
      return { ...state, ignored: event.message };
    case 'continued':
      return { ...state, runs: state.runs + 1 };
    default:
      return event satisfies never;
  }
}

/** Receipts of older releases say nothing of it. */
function quarantinedOf(
  { quarantined = 0 }: TableState,
  { quarantined: now }: SliceReceipt,
): Pick<TableState, 'quarantined'> {
  return now === undefined || now === quarantined ? {} : { quarantined: now };
}

/** What a slice has found the columns to be. Another one may have said more already: slices end in any order. */
function reshape(state: TableState, { shapes = [] }: SliceReceipt): TableState {
  const shape = shapes.at(-1);
  return shape === undefined || shape.shape <= (state.shape?.shape ?? FIRST_SHAPE) ? state : { ...state, shape };
}

function lackingNow(
  { lackingAttributes: before }: TableState,
  { lackingAttributes: now }: WorkerNote,
): Pick<TableState, 'lackingAttributes'> {
  if (now === undefined || (before === undefined && now.length === 0)) return {};
  return { lackingAttributes: now };
}

export function lackingOf({ lackingAttributes = [] }: TableState): readonly SearchAttributeName[] {
  return lackingAttributes;
}

export function stoppedOf({ stopped = [] }: TableState): readonly StageId[] {
  return stopped;
}

export function phaseOf(state: TableState): Phase {
  switch (state.lifecycle.step) {
    case 'removed':
      return 'removed';
    case 'removing':
      return isParked(state, 'remove') ? 'parked' : 'removing';
    case 'preparing':
    case 'running':
      if (state.pause !== null) return 'paused';
      if (state.parks.length > 0) return 'parked';
      if (state.lifecycle.step === 'preparing') return 'preparing';
      if (state.copied === null && hasCopy(state)) return 'copying';
      return state.routeChange === undefined ? 'streaming' : 'configuring';
    default:
      return state.lifecycle satisfies never;
  }
}

/** The oldest park; without one, the last transient failure. */
export function failureOf(state: TableState): TaskFailure | null {
  return state.parks[0] ?? state.lastTransientFailure;
}

/** Age of the oldest change that is not in ClickHouse yet, seconds, as of the last slices. */
export function lagOf(state: TableState): number {
  return Math.max(0, ...Object.values(state.stages).map(({ lagSeconds }) => lagSeconds));
}

export function isParked(state: TableState, task: Task): boolean {
  return state.parks.some((park) => park.where === task);
}

/** Being removed, or gone. */
export function isLeaving(state: TableState): boolean {
  return state.lifecycle.step === 'removing' || state.lifecycle.step === 'removed';
}

/** The stages of the table, in the order in which a row meets them, and those of its replays and backfills; none before it is prepared. */
export function stageSpecs(state: TableState): readonly StageSpec[] {
  return [...(state.prepared?.stages ?? []), ...replayStages(state), ...backfillStages(state)];
}

/** Whether a first load precedes the changes: what only grows has none. */
export function hasCopy(state: TableState): boolean {
  return stageSpecs(state).some(({ id }) => id === COPY_STAGE);
}

/** Rows and progress are of the whole copy; bytes and seconds of the slice. */
function addCopySlice(before: CopyReceipt | undefined, receipt: CopyReceipt): CopyReceipt {
  const { lackingAttributes: _lacking, bytes, seconds, ...rest } = receipt;
  return { ...rest, bytes: bytes + (before?.bytes ?? 0), seconds: seconds + (before?.seconds ?? 0) };
}

/** All targets are copied again. Where that is done by now, the activity says so at once. */
function forgetCopies(state: TableState): TableState {
  const copies = stageSpecs(state).flatMap(({ id, activity }) => (activity === 'copyTable' ? [id] : []));
  const { done } = state;
  return {
    ...state,
    copied: null,
    ...(state.copying === undefined ? {} : { copying: {} }),
    ...(done === undefined ? {} : { done: done.filter((stage) => !copies.includes(stage)) }),
  };
}

function succeed(state: TableState, task: Task): TableState {
  return state.lastTransientFailure?.where === task ? { ...state, lastTransientFailure: null } : state;
}

function fail(state: TableState, failure: TaskFailure, parked: boolean): TableState {
  // A slice that fails while it is stopped for the removal does not matter any more.
  if (isLeaving(state) && failure.where !== 'remove') return state;
  if (!parked) return { ...state, lastTransientFailure: failure };
  if (isChangeTask(failure.where))
    return refuseChange(succeed(state, failure.where), failure.where, failure, failure.since);
  const others = state.parks.filter((park) => park.where !== failure.where);
  const { lastTransientFailure } = state;
  const isSame = lastTransientFailure?.where === failure.where;
  const held = failure.where === CONFIGURE_TASK ? holdRouteChange(state) : state;
  return { ...held, parks: [...others, failure], lastTransientFailure: isSame ? null : lastTransientFailure };
}

function requestRemoval(state: TableState, dropTarget: boolean, at: string): TableState {
  if (state.lifecycle.step === 'removed') return state;
  // A running removal keeps its options, because its activity has them. A parked one may be requested again with others.
  if (state.lifecycle.step === 'removing' && !isParked(state, 'remove')) return state;
  const { routeChange: _, ...rest } = state;
  return {
    ...rest,
    lifecycle: { step: 'removing', dropTarget, since: at },
    pause: null,
    parks: [],
    lastTransientFailure: null,
    ...(state.change === undefined ? {} : { change: null }),
  };
}
