import { type NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import type { TaskQueues } from '../domain/deployment.js';
import type { Log } from '../observe/log.js';
import { NO_METERS, type Meters } from '../observe/meters.js';
import { activityInterceptor, type InterceptorOptions } from './activity-interceptor.js';
import { workerIdentity } from './identity.js';
import { SearchAttributeWatch } from './search-attributes.js';

/** What a worker process does. Workflows are run by every role: they cost little and no table may lack them. */
export const WORKER_ROLES = ['producer', 'consumer', 'all'] as const;
export type WorkerRole = (typeof WORKER_ROLES)[number];

/** Tables that a process can serve with room to spare: two slots a table on the producer's side while it copies. */
export const DEFAULT_ACTIVITY_SLOTS = 400;

export interface WorkerSettings {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly role: WorkerRole;
  /** Default: one of its own. */
  readonly identity?: string;
  /** By task queue: `producer` has all that reads PostgreSQL, `consumer` what goes from Kafka to ClickHouse. */
  readonly activities: { readonly producer: object; readonly consumer: object };
  readonly log: Log;
  /** Of the servers, for the lines of the log about a failure. */
  readonly addresses?: InterceptorOptions['addresses'];
  /** Default: nothing is counted. */
  readonly meters?: Meters | undefined;
  /** The file that `workflows/build-bundle.ts` writes. */
  readonly bundlePath: string;
  /**
   * Activities at a time, on each of the two queues; default 400. A running slice holds its slot, and a table without one waits
   * unseen: producers need two for each table until its first load is done, then one; consumers one; and some spare.
   */
  readonly activitySlots?: number | undefined;
  /** Those of the deployment. */
  readonly taskQueues: TaskQueues;
}

/** A worker that polls: `ended` settles when it has shut down, by `stop` or by a signal; it rejects when it broke. */
export interface RunningWorker {
  readonly identity: string;
  readonly ended: Promise<void>;
  /** `polling`: all of its queues are asked for work. `ending`: it finishes the batches in hand. */
  state(): 'polling' | 'ending' | 'ended';
  /** Lets what runs finish the batch in hand; does nothing the second time. */
  stop(): Promise<void>;
}

/** After SIGTERM a batch in hand has this long. Let supervisors wait 10 s longer before they kill. */
const SHUTDOWN_FORCE_MS = 60_000;

/** A cancellation, and so a pause, travels with a heartbeat: 2 s at most. Heartbeat timeouts are 10 s. */
const HEARTBEAT_THROTTLE_MS = 2_000;

/**
 * Temporal gives a task to an open poll even if the worker behind it is frozen, and misses that task only after a heartbeat timeout.
 * Where the SDK chose the number of polls, two and more, a takeover took up to 33 s. One poll brings a task in milliseconds, and a
 * table needs two a minute.
 */
const ACTIVITY_POLLS = 1;

const STICKY_TIMEOUT_MS = 3_000;

/**
 * Starts the workers of a role, once in a process: Temporal refuses two on one queue. SIGINT and SIGTERM shut them down in order.
 * Install the runtime and connect first.
 * @throws what the SDK throws for a namespace or a bundle that is not there
 */
export async function startWorker(settings: WorkerSettings): Promise<RunningWorker> {
  const attributes = new SearchAttributeWatch(settings.connection, settings.namespace, settings.log);
  await attributes.look();
  const { identity = workerIdentity(settings.role) } = settings;
  const workers = await createAll(optionsOf(settings, identity, attributes));
  const ended = runTogether(workers);
  const ending = new AbortController();
  // A caller that only stops it must not get an unhandled rejection.
  ended.catch(() => undefined).finally(() => ending.abort());
  void attributes.run(ending.signal);
  settings.log.info(
    { role: settings.role, identity, queues: workers.map((each) => each.options.taskQueue) },
    'worker started',
  );
  return {
    identity,
    ended,
    state: () => stateOf(workers),
    async stop() {
      shutdown(workers);
      await ended;
    },
  };
}

/** Creates all or none: a worker that was created and never run would keep its connection open. */
async function createAll(all: readonly WorkerOptions[]): Promise<Worker[]> {
  const workers: Worker[] = [];
  try {
    for (const options of all) workers.push(await Worker.create(options));
    return workers;
  } catch (error) {
    await Promise.allSettled(workers.map((worker) => worker.runUntil(Promise.resolve())));
    throw error;
  }
}

function optionsOf(settings: WorkerSettings, identity: string, attributes: SearchAttributeWatch): WorkerOptions[] {
  const { connection, namespace, role, activities, bundlePath, taskQueues } = settings;
  const common = {
    connection,
    namespace,
    identity,
    // A slice that is told to finish the batch in hand loses nothing, so waiting before it is told gains nothing.
    shutdownGraceTime: 0,
    shutdownForceTime: SHUTDOWN_FORCE_MS,
  };
  const moving = {
    ...common,
    interceptors: {
      activity: [
        activityInterceptor({
          meters: settings.meters ?? NO_METERS,
          log: settings.log,
          identity,
          addresses: settings.addresses,
          lackingAttributes: () => attributes.lacking(),
        }),
      ],
    },
    maxConcurrentActivityTaskExecutions: settings.activitySlots ?? DEFAULT_ACTIVITY_SLOTS,
    maxHeartbeatThrottleInterval: HEARTBEAT_THROTTLE_MS,
    defaultHeartbeatThrottleInterval: HEARTBEAT_THROTTLE_MS,
    activityTaskPollerBehavior: { type: 'simple-maximum' as const, maximum: ACTIVITY_POLLS },
  };
  const workers: WorkerOptions[] = [
    {
      ...common,
      taskQueue: taskQueues.workflow,
      workflowBundle: { codePath: bundlePath },
      workflowTaskPollerBehavior: { type: 'autoscaling' },
      // How long a task or a query waits for a worker that was killed before another worker replays the workflow; 10 s by default.
      // Our histories are short, so replaying is cheap.
      stickyQueueScheduleToStartTimeout: STICKY_TIMEOUT_MS,
    },
  ];
  if (role !== 'consumer') workers.push({ ...moving, taskQueue: taskQueues.producer, activities: activities.producer });
  if (role !== 'producer') workers.push({ ...moving, taskQueue: taskQueues.consumer, activities: activities.consumer });
  return workers;
}

function stateOf(workers: readonly Worker[]): ReturnType<RunningWorker['state']> {
  const states = workers.map((worker) => worker.getState());
  if (states.every((state) => state === 'RUNNING')) return 'polling';
  return states.every((state) => state === 'STOPPED' || state === 'FAILED') ? 'ended' : 'ending';
}

/** When one of the workers of this process ends, for any reason, the others are shut down too. */
async function runTogether(workers: readonly Worker[]): Promise<void> {
  const runs = workers.map(async (worker) => {
    try {
      await worker.run();
    } finally {
      shutdown(workers);
    }
  });
  const broken = (await Promise.allSettled(runs)).find((run) => run.status === 'rejected');
  if (broken !== undefined) throw broken.reason;
}

function shutdown(workers: readonly Worker[]): void {
  for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
}
