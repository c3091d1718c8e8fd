import { COPY_STAGE, type StageId } from '../src/domain/route.js';
import { isHeld } from './changes.js';
import { CONFIGURE_TASK, runsAlone, tasksBesideRouteChange } from './route-change.js';
import { stopTask } from './stop-task.js';
import { isParked, stageSpecs, stoppedOf, type TableState, type Task } from './table-state.js';

/**
 * The tasks that should run now. The runner starts `remove` only when all other tasks have ended, and never runs a stage and the task
 * that stops it at once.
 */
export function wantedTasks(state: TableState): readonly Task[] {
  const tasks = state.pause === null ? tasksOf(state).filter((task) => !isParked(state, task)) : [];
  const stages = stagesToStop(state, tasks);
  const stops = stages.map(stopTask).filter((task) => !isParked(state, task));
  // The route is exchanged when nothing reads any more: not while a stop is parked either.
  const mustStop = stages.length > 0 && state.routeChange !== undefined && runsAlone(state.routeChange);
  return [...tasks.filter((task) => task !== CONFIGURE_TASK || !mustStop), ...stops];
}

/** Stages that go on without their slices, and are not wanted any more. A removal ends them itself. */
function stagesToStop(state: TableState, wanted: readonly Task[]): readonly StageId[] {
  if (state.lifecycle.step !== 'running') return [];
  return stageSpecs(state)
    .filter(({ id, stops }) => stops !== undefined && !wanted.includes(id) && !stoppedOf(state).includes(id))
    .map(({ id }) => id);
}

function tasksOf(state: TableState): readonly Task[] {
  switch (state.lifecycle.step) {
    case 'preparing':
      return ['prepare'];
    case 'running': {
      const { change = null, routeChange } = state;
      const stages = stageSpecs(state)
        .filter(({ id, runs }) => (runs === 'always' || !isDone(state, id)) && !isHeld(state, id))
        .map(({ id }) => id);
      const isChanging = routeChange !== undefined && !isRouteChangeHeld(state);
      return [
        ...(isChanging ? tasksBesideRouteChange(routeChange, stages) : stages),
        ...(change === null ? [] : [change.task]),
      ];
    }
    case 'removing':
      return ['remove'];
    case 'removed':
      return [];
    default:
      return state.lifecycle satisfies never;
  }
}

/** A first load is hours of work that a change may have to do again: it waits for each, unless that is held up too. */
function isRouteChangeHeld(state: TableState): boolean {
  if (isParked(state, CONFIGURE_TASK)) return true;
  if (state.routeChange?.step !== 'preparing') return false;
  return stageSpecs(state).some(
    ({ id, runs }) => runs === 'once' && !isDone(state, id) && !isParked(state, id) && !isHeld(state, id),
  );
}

/** Of a stage that runs once. */
function isDone(state: TableState, stage: StageId): boolean {
  return stage === COPY_STAGE ? state.copied !== null : (state.done ?? []).includes(stage);
}
