import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  type ContinueAsNewOptions,
  type defineSignal,
  type defineUpdate,
  isCancellation,
  log,
  makeContinueAsNewFunc,
  patched,
  setCurrentDetails,
  setDefaultSignalHandler,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { InitialVersioningBehavior } from '@temporalio/common';
import { activityQueuesOf, deploymentOf } from '../src/domain/deployment.js';
import type { ReplaySliceReceipt, SliceReceipt, TableAddress } from '../src/domain/receipt.js';
import { isCopyPriority, type CopyPriority } from '../src/domain/copy-priority.js';
import { inputOf } from '../src/domain/route.js';
import type { RouteOptions } from '../src/domain/route-change.js';
import { FIRST_SHAPE } from '../src/domain/shape.js';
import { workflowIdOf } from '../src/domain/table-name.js';
import { readActivityFailure } from '../src/failure/application-failure.js';
import { openAlarm } from './alarm.js';
import { priorityOf } from './backfills.js';
import { isChangeTask, mustWait } from './changes.js';
import { currentDetails, statusOf, summaryOf } from './display.js';
import {
  type Answer,
  CHANGE_MESSAGES,
  configureSignal,
  type ConfigureMessage,
  type PauseMessage,
  pauseSignal,
  removeSignal,
  type RemoveMessage,
  type ReplicateTableInput,
  requestConfigure,
  requestPause,
  requestRemove,
  requestResume,
  type ResumeMessage,
  resumeSignal,
  statusQuery,
  type TableStatus,
} from './messages.js';
import {
  DEFAULT_SLICE_MS,
  MAX_SLICE_MS,
  MIN_SLICE_MS,
  HISTORY_LENGTH_LIMIT,
  HISTORY_SIZE_LIMIT,
  IDLE_SLICES,
  RETRY_PAUSE_MS,
  tableActivities,
} from './policies.js';
import { dueKept, nextDrop } from './kept-tables.js';
import { performChange } from './perform-change.js';
import { BAD_PRIORITY } from './read-terms.js';
import { type Action, handleRequest, readRequest, type Request } from './request.js';
import { CONFIGURE_TASK } from './route-change.js';
import { keptAttributes, searchAttributeWriter } from './search-attributes.js';
import { totalsOf } from './stage-totals.js';
import { stageStoppedBy, stopTask } from './stop-task.js';
import { initialState, reduce, stageSpecs, type TableEvent, type TableState, type Task } from './table-state.js';
import { upgradePrepared, upgradeReceipt, upgradeState } from './upgrade-state.js';
import { wantedTasks } from './wanted-tasks.js';

/**
 * The life of one table. The state machine of `table-state.ts` knows how it stands, and `wanted-tasks.ts` which tasks should run; this runs them, one activity
 * each, tells it how they ended, and starts again. Messages only change the state: the loop at the end is the one place
 * that starts and stops anything.
 *
 * It ends when the table is removed; it never fails because of data or settings. Who cancels it has paused the table.
 * @throws ApplicationFailure `Misconfigured` at once for an input that names no table, or no sensible slice
 */
export async function replicateTable(input: ReplicateTableInput): Promise<TableStatus> {
  const address = readAddress(input);
  requireOwnId(address);
  const sliceMs = readSliceMs(input);
  const { taskQueue } = workflowInfo();
  const activities = tableActivities(sliceMs, input.taskQueues ?? activityQueuesOf(taskQueue));
  const running = new Map<Task, CancellationScope>();
  /** What the step of a change that runs was asked for. */
  let asked: RouteOptions | undefined;
  /** With which priority the copies that run were asked for. */
  const priorities = new Map<Task, CopyPriority>();
  const updateSearchAttributes = searchAttributeWriter(address);
  let state: TableState = input.state === undefined ? firstState(input) : upgradeState(input.state);
  let turns = 0;
  const wakeAt = openAlarm(() => (turns += 1));

  function become(next: TableState): void {
    turns += 1;
    state = next;
    setCurrentDetails(currentDetails(state, address));
    updateSearchAttributes(state);
  }

  function receive(request: Request): Answer {
    const { state: next, answer } = handleRequest(state, request, now());
    become(next);
    log.info('request handled', { action: request.action, changed: answer.changed, answer: answer.message });
    return answer;
  }

  /** A signal has nobody to answer to, and an error in it would end the workflow: what makes no sense is shown instead. */
  function receiveSignal(name: Action, message: unknown): void {
    const request = readRequest(name, message);
    if (typeof request !== 'string') {
      receive(request);
      return;
    }
    ignore(name, request);
  }

  function ignore(name: string, problem: string): void {
    log.warn('signal ignored', { signal: name, problem });
    become(reduce(state, { type: 'messageIgnored', message: { at: now(), name, problem } }));
  }

  setHandler(statusQuery, () => statusOf(state, address, [...running.keys()]), {
    description: 'Phase, totals, lag, failures: where the table stands.',
  });
  setHandler(pauseSignal, (message) => receiveSignal('pause', message), {
    description: 'Stop after the batch in hand. {"reason": "...", "requestId": "..."}, both optional.',
  });
  setHandler(resumeSignal, (message) => receiveSignal('resume', message), {
    description: 'Go on after a pause, and try again what is parked. {"requestId": "..."}, optional.',
  });
  setHandler(configureSignal, (message) => receiveSignal('configure', message), {
    description: 'Change how the rows travel: {"transport": "direct"}, or capture, format, payload and their like.',
  });
  setHandler(removeSignal, (message) => receiveSignal('remove', message), {
    description: 'Stop replicating for good. {"dropTarget": true} drops the ClickHouse table too.',
  });
  setHandler(requestPause, (message?: PauseMessage) => receive(understood('pause', message)), {
    description: 'The signal pause, with an answer.',
    validator: (message?: PauseMessage) => void understood('pause', message),
  });
  setHandler(requestResume, (message?: ResumeMessage) => receive(understood('resume', message)), {
    description: 'The signal resume, with an answer.',
    validator: (message?: ResumeMessage) => void understood('resume', message),
  });
  setHandler(requestConfigure, (message?: ConfigureMessage) => receive(understood('configure', message)), {
    description: 'The signal configure, with an answer.',
    validator: (message?: ConfigureMessage) => void understood('configure', message),
  });
  setHandler(requestRemove, (message?: RemoveMessage) => receive(understood('remove', message)), {
    description: 'The signal remove, with an answer.',
    validator: (message?: RemoveMessage) => void understood('remove', message),
  });
  for (const { action, signal, update, description } of CHANGE_MESSAGES) {
    setHandler(signal as ReturnType<typeof defineSignal>, (message?: unknown) => receiveSignal(action, message), {
      description,
    });
    setHandler(
      update as ReturnType<typeof defineUpdate<Answer, [unknown?]>>,
      (message?: unknown) => receive(understood(action, message)),
      {
        description: `The signal ${action}, with an answer.`,
        validator: (message?: unknown) => void understood(action, message),
      },
    );
  }
  // Without this, a misspelt name would wait unseen for a handler that never comes.
  setDefaultSignalHandler((name) =>
    ignore(
      name.slice(0, 50),
      `There is no such signal: pause, resume, configure, remove, ${CHANGE_MESSAGES.map(({ action }) => action).join(', ')} are.`,
    ),
  );
  become(state);

  /** One activity, from its start to the event that tells how it ended. */
  async function perform(task: Task): Promise<TableEvent> {
    const options = { summary: summaryOf(task, state, address) };
    if (task === 'prepare') {
      const request = { ...address, options: input.options ?? {} };
      const receipt = await activities.prepareTable.executeWithOptions(options, [request]);
      return { type: 'prepared', receipt: upgradePrepared(receipt) };
    }
    if (task === CONFIGURE_TASK && state.routeChange !== undefined) {
      const { options: wanted, step, start } = state.routeChange;
      asked = wanted;
      const request = { ...address, tableId: state.prepared?.id, options: wanted, step, start };
      const receipt = await activities.changeRoute.executeWithOptions(options, [request]);
      return { type: 'routeChangeMoved', at: now(), options: wanted, receipt };
    }
    if (task === 'remove') {
      const dropTarget = state.lifecycle.step === 'removing' && state.lifecycle.dropTarget;
      const id = state.prepared?.id;
      const receipt = await activities.removeTable.executeWithOptions(options, [{ ...address, id, dropTarget }]);
      return { type: 'removed', at: now(), receipt: receipt ?? null };
    }
    const stopped = stageStoppedBy(task);
    if (stopped !== undefined) {
      const request = { ...address, tableId: state.prepared?.id, stage: stopped };
      await activities.stopEngine.executeWithOptions(options, [request]);
      return { type: 'stageStopped', stage: stopped };
    }
    if (isChangeTask(task)) return performChange(activities, address, state, options);
    const stage = stageSpecs(state).find(({ id }) => id === task);
    if (stage === undefined) throw misconfigured(`The table has no stage ${task}.`);
    const tableId = state.prepared?.id;
    const { checkpoint } = totalsOf(state, task);
    const request = { ...address, tableId, stage: task, sliceMs, shape: state.shape?.shape ?? FIRST_SHAPE, checkpoint };
    if (stage.activity === 'copyTable') {
      const priority = priorityOf(state, task);
      priorities.set(task, priority);
      const receipt = await activities.copyTable.executeWithOptions(options, [{ ...request, priority }]);
      return { type: 'copied', at: now(), stage: task, receipt };
    }
    const idleMs = IDLE_SLICES * sliceMs;
    const receipt = await activities[stage.activity].executeWithOptions(options, [{ ...request, idleMs }]);
    return { type: 'sliceEnded', at: now(), receipt: { ...upgradeReceipt(receipt), stage: task } };
  }

  /** Another change was asked for while this one ran, or another priority: then a copy that waits has to wait elsewhere. */
  function isReplaced(task: Task): boolean {
    const priority = priorities.get(task);
    if (priority !== undefined && priority !== priorityOf(state, task)) return true;
    return task === CONFIGURE_TASK && asked !== state.routeChange?.options;
  }

  /** What a task that was being stopped met on its way out matters only where a person must act. */
  function note(task: Task, error: unknown, stopped: boolean): void {
    const { parked, ...failure } = readActivityFailure(error);
    log.warn('task failed', { task, kind: failure.kind, parked });
    if (parked || !stopped) become(reduce(state, { type: 'failed', at: now(), where: task, failure, parked }));
  }

  /** Runs a task once. Never rejects: how it ended is in the state. */
  async function run(task: Task, scope: CancellationScope): Promise<void> {
    try {
      await scope.run(async () => {
        try {
          const event = await perform(task);
          // Not in one line: `reduce(state, await ...)` would read the state before it waits, and undo what came between.
          become(reduce(state, event));
          if (event.type === 'sliceEnded' && isFinished(event.receipt))
            become(reduce(state, { type: 'replayFinished', at: now(), stage: task }));
          return;
        } catch (error) {
          if (!isCancellation(error)) note(task, error, scope.consideredCancelled);
        }
        // Parked: it is not wanted any more, and nothing starts it. Otherwise it goes on by itself, not at once.
        if (!scope.consideredCancelled && wantedTasks(state).includes(task)) await sleep(RETRY_PAUSE_MS);
      });
    } catch (error) {
      if (!isCancellation(error)) throw error;
    } finally {
      running.delete(task);
      priorities.delete(task);
      turns += 1;
    }
  }

  // "Request Cancellation" is one click in the UI, beside the signals. An end would leave triggers that fill the outbox.
  CancellationScope.current().cancelRequested.catch(() => {
    receive({ action: 'pause', requestId: null, reason: 'Request Cancellation in Temporal' });
  });

  return CancellationScope.nonCancellable(async () => {
    for (;;) {
      wakeAt(nextDrop(state));
      const leaving = shouldContinueAsNew(running);
      const due = leaving ? [] : dueKept(state, Date.now());
      if (due.length > 0) {
        const at = now();
        const change = { task: 'dropKept', requestId: `${at}/dropKept`, at, names: due } as const;
        become(reduce(state, { type: 'changeRequested', change }));
      }
      const wanted = leaving ? [] : wantedTasks(state);
      for (const [task, scope] of running) if (!wanted.includes(task) || isReplaced(task)) scope.cancel();
      for (const task of wanted) {
        if (running.has(task) || mustWait(state, task, running.keys())) continue;
        if (isExclusive(task) && [...running.keys()].some((each) => !wanted.includes(each))) continue;
        if (running.has(stopTask(task)) || running.has(stageStoppedBy(task) ?? '')) continue;
        if (stageSpecs(state).some(({ id, stops }) => id === task && stops !== undefined))
          become(reduce(state, { type: 'stageStarted', stage: task }));
        if (isChangeTask(task)) become(reduce(state, { type: 'changeBegun' }));
        const scope = new CancellationScope();
        running.set(task, scope);
        void run(task, scope);
      }
      if (running.size === 0 && (leaving || state.lifecycle.step === 'removed')) {
        await condition(allHandlersFinished);
        if (state.lifecycle.step === 'removed') return statusOf(state, address, []);
        await continueAsNew(
          { ...input, ...address, state: reduce(state, { type: 'continued' }) },
          keptAttributes(state),
        );
      }
      const seen = turns;
      await condition(() => turns !== seen);
    }
  });
}

function readAddress(input: ReplicateTableInput): TableAddress {
  const { table, schema = 'public', pipeline = 'default' } = input ?? {};
  for (const name of [table, schema, pipeline]) {
    if (typeof name === 'string' && name !== '') continue;
    throw misconfigured(
      'The input names no table: give one JSON object such as {"table":"orders","schema":"public","pipeline":"default"}.',
    );
  }
  return { pipeline, schema, table, ...ownDeployment() };
}

function ownDeployment(): Pick<TableAddress, 'deployment'> {
  const deployment = deploymentOf(workflowInfo().taskQueue);
  return deployment === undefined ? {} : { deployment };
}

/**
 * Two workflows of one table would fence each other for ever, and the id is what keeps a table from being replicated twice.
 * @throws ApplicationFailure `Misconfigured`, which ends the workflow
 */
function requireOwnId(address: TableAddress): void {
  const { workflowId } = workflowInfo();
  const own = workflowIdOf(address.pipeline, address);
  // Workflows of before this check may run under other ids.
  if (workflowId === own || !patched('own-id')) return;
  throw misconfigured(
    `This workflow has the id "${workflowId}", and its input names the table of "${own}": start it again with that id.`,
  );
}

/** @throws ApplicationFailure `Misconfigured` */
function firstState({ priority, lackingAttributes = [] }: ReplicateTableInput): TableState {
  if (!Array.isArray(lackingAttributes)) throw misconfigured('lackingAttributes must be a list of search attributes.');
  const lacking = lackingAttributes.length === 0 ? {} : { lackingAttributes };
  const state: TableState = { ...initialState(now()), ...lacking };
  if (priority === undefined) return state;
  if (isCopyPriority(priority)) return { ...state, priority };
  throw misconfigured(BAD_PRIORITY);
}

function readSliceMs({ sliceMs = DEFAULT_SLICE_MS }: ReplicateTableInput): number {
  if (typeof sliceMs === 'number' && sliceMs >= MIN_SLICE_MS && sliceMs <= MAX_SLICE_MS) return sliceMs;
  throw misconfigured(`sliceMs must be a number of milliseconds from ${MIN_SLICE_MS} to ${MAX_SLICE_MS}.`);
}

function misconfigured(message: string): ApplicationFailure {
  return ApplicationFailure.nonRetryable(message, 'Misconfigured');
}

/**
 * @returns the request
 * @throws ApplicationFailure `Misconfigured`, which rejects an update before anything is written to the history
 */
function understood(action: Action, message: unknown): Request {
  const request = readRequest(action, message);
  if (typeof request === 'string') throw misconfigured(request);
  return request;
}

/** It waits until all that must not run beside it has ended. */
function isExclusive(task: Task): boolean {
  return task === 'remove' || task === CONFIGURE_TASK;
}

/** Whether this run should end. What would begin again in the next one is let through while that is safe. */
function shouldContinueAsNew(running: ReadonlyMap<Task, CancellationScope>): boolean {
  const { continueAsNewSuggested, targetWorkerDeploymentVersionChanged, historyLength, historySize } = workflowInfo();
  if (historyLength > HISTORY_LENGTH_LIMIT || historySize > HISTORY_SIZE_LIMIT) return true;
  if ([...running.keys()].some((task) => task === 'remove' || isChangeTask(task))) return false;
  if (!continueAsNewSuggested && !targetWorkerDeploymentVersionChanged) return false;
  // A copy of older releases was one piece.
  return ![...running.keys()].some((task) => inputOf(task) === 'table') || patched('copy-slices');
}

async function continueAsNew(input: ReplicateTableInput, attributes: ContinueAsNewOptions): Promise<never> {
  // Only then: a worker without versioning knows no such behaviour.
  const upgrade = workflowInfo().targetWorkerDeploymentVersionChanged;
  const options = upgrade ? { initialVersioningBehavior: InitialVersioningBehavior.AUTO_UPGRADE } : {};
  return makeContinueAsNewFunc<typeof replicateTable>({ ...options, ...attributes })(input);
}

function isFinished(receipt: SliceReceipt): boolean {
  return (receipt as Partial<ReplaySliceReceipt>).finished === true;
}

function now(): string {
  return new Date().toISOString();
}
