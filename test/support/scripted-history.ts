import type { ReplicationActivities } from '../../src/domain/receipt.js';
import type { FailureKind } from '../../src/failure/kinds.js';
import { FAILURE_POLICIES } from '../../src/failure/kinds.js';
import { REPLICATE_TABLE, type ReplicateTableInput } from '../../workflows/messages.js';

type Activity = keyof ReplicationActivities;
type Attributes = Readonly<Record<string, unknown>>;

/**
 * Writes the history of a workflow as the server would have, to be replayed without one. What comes from outside (`signal`,
 * `completes`, `fails`, `fires`) is followed by `task()`, and that by the commands which the workflow must issue then, in
 * their order (`tells`, `schedules`, `cancels`, `sleeps`, `continuesAsNew`, `ends`): replaying fails where it issues others.
 *
 * A command too many is noticed where the next one is expected: end with `nothingElse()`, or with the end of the workflow.
 * Only an activity that nothing else follows escapes it, because the removal takes it back.
 */
export class ScriptedHistory {
  readonly #events: object[] = [];
  readonly #scheduled = new Map<Activity, string>();
  #activities = 0;
  #timers = 0;
  #clockMs = Date.parse('2026-01-01T00:00:00Z');
  #completedTask = '0';

  constructor(input: Partial<ReplicateTableInput> = {}) {
    this.#add('WORKFLOW_EXECUTION_STARTED', 'workflowExecutionStarted', {
      workflowType: { name: REPLICATE_TABLE },
      taskQueue: QUEUE,
      input: payloads({ table: 'orders', ...input }),
      workflowTaskTimeout: '10s',
      originalExecutionRunId: RUN_ID,
      firstExecutionRunId: RUN_ID,
      workflowId: 'replicate/default/public.orders',
      attempt: 1,
    });
  }

  /** Lets time pass before what comes next. */
  after(seconds: number): this {
    this.#clockMs += seconds * 1_000;
    return this;
  }

  signal(signalName: string, message: unknown = {}): this {
    const attributes = { signalName, input: payloads(message) };
    return this.#add('WORKFLOW_EXECUTION_SIGNALED', 'workflowExecutionSignaled', attributes);
  }

  completes(activity: Activity, result?: unknown): this {
    const started = this.#starts(activity);
    return this.#add('ACTIVITY_TASK_COMPLETED', 'activityTaskCompleted', {
      ...started,
      ...(result === undefined ? {} : { result: payloads(result) }),
    });
  }

  fails(activity: Activity, kind: FailureKind | 'SomethingElse', message = `${activity} met ${kind}`): this {
    const nonRetryable = kind !== 'SomethingElse' && FAILURE_POLICIES[kind].treatment === 'parked';
    return this.#add('ACTIVITY_TASK_FAILED', 'activityTaskFailed', {
      ...this.#starts(activity),
      retryState: nonRetryable ? 'RETRY_STATE_NON_RETRYABLE_FAILURE' : 'RETRY_STATE_CANCEL_REQUESTED',
      failure: { message, source: 'TypeScriptSDK', applicationFailureInfo: { type: kind, nonRetryable } },
    });
  }

  isCancelled(activity: Activity): this {
    return this.#add('ACTIVITY_TASK_CANCELED', 'activityTaskCanceled', this.#starts(activity));
  }

  fires(timer: number): this {
    const [timerId, startedEventId] = [String(timer), this.#timerEvents.get(timer)];
    return this.#add('TIMER_FIRED', 'timerFired', { timerId, startedEventId });
  }

  /** The worker takes a workflow task; what follows are its commands. */
  task(hints: { suggestContinueAsNew?: boolean; targetWorkerDeploymentVersionChanged?: boolean } = {}): this {
    this.#add('WORKFLOW_TASK_SCHEDULED', 'workflowTaskScheduled', { taskQueue: QUEUE, startToCloseTimeout: '10s' });
    const scheduledEventId = this.#lastId();
    this.#add('WORKFLOW_TASK_STARTED', 'workflowTaskStarted', { scheduledEventId, ...hints });
    const startedEventId = this.#lastId();
    // Without flag 1 the replay does not compare activity types, and a wrong one would pass.
    const sdkMetadata = { coreUsedFlags: [1, 2, 3] };
    this.#add('WORKFLOW_TASK_COMPLETED', 'workflowTaskCompleted', { scheduledEventId, startedEventId, sdkMetadata });
    this.#completedTask = this.#lastId();
    return this;
  }

  /** The search attributes that changed. */
  tells(changes: Readonly<Record<string, string | number | null>>): this {
    const pairs = Object.entries(changes).map(([name, value]) => [name, payload(value)]);
    const searchAttributes = { indexedFields: Object.fromEntries(pairs) as Attributes };
    return this.#command('UPSERT_WORKFLOW_SEARCH_ATTRIBUTES', 'upsertWorkflowSearchAttributes', { searchAttributes });
  }

  /** What changed in the memo: null takes it out. */
  notes(changes: Readonly<Record<string, string | null>>): this {
    const fields = Object.fromEntries(Object.entries(changes).map(([name, value]) => [name, payload(value)]));
    return this.#command('WORKFLOW_PROPERTIES_MODIFIED', 'workflowPropertiesModified', { upsertedMemo: { fields } });
  }

  schedules(...activities: readonly Activity[]): this {
    for (const activity of activities) {
      this.#activities += 1;
      this.#command('ACTIVITY_TASK_SCHEDULED', 'activityTaskScheduled', {
        activityId: String(this.#activities),
        activityType: { name: activity },
        taskQueue: QUEUE,
      });
      this.#scheduled.set(activity, this.#lastId());
    }
    return this;
  }

  cancels(...activities: readonly Activity[]): this {
    for (const activity of activities) {
      const scheduledEventId = this.#scheduled.get(activity);
      this.#command('ACTIVITY_TASK_CANCEL_REQUESTED', 'activityTaskCancelRequested', { scheduledEventId });
    }
    return this;
  }

  /** Starts timer 1, 2, ... in the order of the calls. */
  sleeps(seconds: number): this {
    this.#timers += 1;
    const attributes = { timerId: String(this.#timers), startToFireTimeout: `${seconds}s` };
    this.#command('TIMER_STARTED', 'timerStarted', attributes);
    this.#timerEvents.set(this.#timers, this.#lastId());
    return this;
  }

  continuesAsNew(): this {
    return this.#command('WORKFLOW_EXECUTION_CONTINUED_AS_NEW', 'workflowExecutionContinuedAsNew', {
      workflowType: { name: REPLICATE_TABLE },
      newExecutionRunId: RUN_ID,
      taskQueue: QUEUE,
    });
  }

  ends(): this {
    return this.#command('WORKFLOW_EXECUTION_COMPLETED', 'workflowExecutionCompleted', {});
  }

  /** Asks for the removal, so that the workflow's next command must be the one that this brings. */
  nothingElse(): this {
    return this.signal('remove').task().tells({ Pg2clickPhase: 'removing' });
  }

  toJSON(): { events: readonly object[] } {
    return { events: this.#events };
  }

  readonly #timerEvents = new Map<number, string>();

  #starts(activity: Activity): Attributes {
    const scheduledEventId = this.#scheduled.get(activity);
    if (scheduledEventId === undefined) throw new Error(`${activity} was not scheduled`);
    this.#add('ACTIVITY_TASK_STARTED', 'activityTaskStarted', { scheduledEventId, attempt: 1 });
    return { scheduledEventId, startedEventId: this.#lastId() };
  }

  #command(type: string, field: string, attributes: Attributes): this {
    return this.#add(type, field, { ...attributes, workflowTaskCompletedEventId: this.#completedTask });
  }

  #add(type: string, field: string, attributes: Attributes): this {
    this.#events.push({
      eventId: String(this.#events.length + 1),
      eventTime: new Date(this.#clockMs).toISOString(),
      eventType: `EVENT_TYPE_${type}`,
      [`${field}EventAttributes`]: attributes,
    });
    return this;
  }

  #lastId(): string {
    return String(this.#events.length);
  }
}

const RUN_ID = '00000000-0000-4000-8000-000000000000';
const QUEUE = { name: 'pg2click', kind: 'TASK_QUEUE_KIND_NORMAL' };

function payload(value: unknown): object {
  return { metadata: { encoding: base64('json/plain') }, data: base64(JSON.stringify(value)) };
}

function payloads(value: unknown): object {
  return { payloads: [payload(value)] };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
