import type { ChangeReceipt } from '../src/domain/receipt.js';
import { inputOf, type StageId, type StageSpec } from '../src/domain/route.js';
import type { ChangeStep, RouteOptions } from '../src/domain/route-change.js';
import { isReplay } from '../src/domain/replay.js';
import type { StageTotals } from './stage-totals.js';
import type { Prepared, TableState, Task } from './table-state.js';
import { upgradePrepared } from './upgrade-state.js';

/** The task that changes the route of a table. */
export const CONFIGURE_TASK = 'configure';

/** A change of the route that is under way. */
export interface RouteChange {
  readonly options: RouteOptions;
  readonly since: string;
  readonly step: ChangeStep;
  /** What the last step handed on. */
  readonly start?: unknown;
}

/**
 * A new wish replaces the one under way. What that has made may not fit the table as it was, so the capture is not read again
 * before the change has seen to it.
 */
export function requestRouteChange(state: TableState, options: RouteOptions, since: string): TableState {
  const { routeChange: change } = state;
  const step = change === undefined || change.step === 'preparing' ? 'preparing' : 'draining';
  const parks = state.parks.filter(({ where }) => where !== CONFIGURE_TASK);
  return { ...state, parks, routeChange: { options, since, step } };
}

/** Takes what a step of the change has done. `asked`: the options that the step was run with. */
export function moveRouteChange(
  state: TableState,
  asked: RouteOptions,
  receipt: ChangeReceipt,
  at: string,
): TableState {
  const { prepared, refused, next, start } = receipt;
  const known = prepared === undefined ? state : takeRoute(state, upgradePrepared(prepared));
  // Another wish came meanwhile: it goes on from what is there now.
  if (state.routeChange?.options !== asked) return known;
  const { routeChange: _, ...rest } = known;
  if (next !== null)
    return { ...rest, routeChange: { ...state.routeChange, step: next, ...(start === undefined ? {} : { start }) } };
  if (refused === undefined) return rest;
  return { ...rest, ignored: { at, name: 'configure', problem: refused } };
}

/** A change that is parked leaves the table to the route it has, and begins again when it is resumed. */
export function holdRouteChange(state: TableState): TableState {
  const { routeChange: change } = state;
  if (change === undefined || change.step === 'clearing') return state;
  return { ...state, routeChange: { ...change, step: 'preparing' } };
}

/**
 * The stages of the table are those of its route as the ledger has it. Where the generation stays, a stage that goes on under
 * another name keeps its checkpoint: a ledger that is set back must be noticed then too.
 */
export function takeRoute(state: TableState, receipt: Prepared): TableState {
  const before = state.prepared;
  const estimatedRows = receipt.estimatedRows ?? before?.estimatedRows ?? null;
  const prepared = { ...receipt, estimatedRows };
  if (before === null) return { ...state, prepared };
  const goes = before.stages.map(({ id }) => id).filter((id) => receipt.stages.every((spec) => spec.id !== id));
  const { stopped, lastTransientFailure } = state;
  const isGone = (task: Task): boolean => goes.includes(task);
  const next: TableState = {
    ...state,
    prepared,
    parks: state.parks.filter(({ where }) => !isGone(where)),
    lastTransientFailure:
      lastTransientFailure !== null && isGone(lastTransientFailure.where) ? null : lastTransientFailure,
    ...(stopped === undefined ? {} : { stopped: stopped.filter((stage) => !isGone(stage)) }),
  };
  // Of replays that ended: they are shown still.
  const stages: Record<StageId, StageTotals> = Object.fromEntries(
    Object.entries(state.stages).filter(([stage]) => isReplay(stage)),
  );
  if (before.generation !== receipt.generation)
    return { ...next, copied: null, stages, ...(state.done === undefined ? {} : { done: [] }) };
  for (const spec of receipt.stages) {
    const was = before.stages.find((each) => isSameStage(each, spec));
    const totals = was === undefined ? undefined : state.stages[was.id];
    if (totals !== undefined) stages[spec.id] = totals;
  }
  return { ...next, stages };
}

/** Each table has one stage that reads its capture, whatever it is called. */
function isSameStage(before: StageSpec, after: StageSpec): boolean {
  const isReader = inputOf(after.id) === 'capture';
  return isReader ? inputOf(before.id) === 'capture' : before.id === after.id;
}

/** Nothing else may run in this step, nor go on without its slices. */
export function runsAlone({ step }: RouteChange): boolean {
  return step === 'switching' || step === 'clearing';
}

/** The tasks that a change leaves running, of those that would run without it; with its own. */
export function tasksBesideRouteChange(change: RouteChange, stages: readonly StageId[]): readonly StageId[] {
  switch (change.step) {
    case 'preparing':
      return [...stages, CONFIGURE_TASK];
    case 'draining':
      return [...stages.filter((id) => inputOf(id) !== 'capture'), CONFIGURE_TASK];
    case 'switching':
    case 'clearing':
      return [CONFIGURE_TASK];
    default:
      return change.step satisfies never;
  }
}
