import { hostname } from 'node:os';
import { type NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import type { TaskQueues } from '../domain/deployment.js';
import type { Log } from '../observe/log.js';
import { NO_METERS, type Meters } from '../observe/meters.js';
import { activityInterceptor } from './activity-interceptor.js';
import { ensureSearchAttributes } from './search-attributes.js';

/** What a worker process does. Workflows are run by every role: they cost little and no table may lack them. */
export const WORKER_ROLES = ['producer', 'consumer', 'all'] as const;
export type WorkerRole = (typeof WORKER_ROLES)[number];

/** Tables that a process can serve with room to spare: two slots a table on the producer's side while it copies. */
export const DEFAULT_ACTIVITY_SLOTS = 400;

export interface WorkerSettings {
  readonly connection: NativeConnection;
  readonly namespace: string;
  readonly role: WorkerRole;
  /** By task queue: `producer` has all that reads PostgreSQL, `consumer` what goes from Kafka to ClickHouse. */
  readonly activities: { readonly producer: object; readonly consumer: object };
  readonly log: Log;
  /** Default: nothing is counted. */
  readonly meters?: Meters | undefined;
  /** The file that `workflows/build-bundle.ts` writes. */
  readonly bundlePath: string;
  /**
   * How long slices go on after SIGTERM before they are told to finish the batch in hand; default 0, milliseconds or `30s`.
   * A slice that is told loses nothing, so waiting gains nothing; only a first load that is about to end may want it.
   */
  readonly shutdownGraceTime?: number | `${number}s` | undefined;
  /**
   * Activities at a time, on each of the two queues; default 400. A running slice holds its slot, and a table that finds
   * none waits in silence: producers need tables x 2 (publishing and the first load), consumers tables x 1, and some spare.
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

/** After SIGTERM and the grace time: a batch in hand has this long. Let supervisors wait 10 s longer before they kill. */
const SHUTDOWN_FORCE_MS = 60_000;

/** A cancellation, and so a pause, travels with a heartbeat: 2 s at most. Heartbeat timeouts are 10 s. */
const HEARTBEAT_THROTTLE_MS = 2_000;

/**
 * A frozen worker swallows a task with each poll that it holds open, and each of them is missed for another heartbeat timeout: a
 * take-over took up to 33 s where the SDK chose how many, two and more of them. One poll brings a task in milliseconds, and a
 * table needs two in a minute.
 */
const ACTIVITY_POLLS = 1;

const STICKY_TIMEOUT_MS = 3_000;

/**
 * Starts the workers of a role in this process, once in a process: Temporal refuses two on one queue. SIGINT and SIGTERM shut them down in order; install the runtime and
 * connect first.
 * @throws Failure `Misconfigured` where search attributes are missing and may not be added;
 *   what the SDK throws for a namespace or a bundle that is not there
 */
export async function startWorker(settings: WorkerSettings): Promise<RunningWorker> {
  await ensureSearchAttributes(settings.connection.operatorService, settings.namespace);
  const identity = `${hostname()}/${process.pid}/${settings.role}`;
  const workers = await createAll(optionsOf(settings, identity));
  const ended = runTogether(workers);
  // Whoever only stops it must not meet an unhandled rejection.
  ended.catch(() => undefined);
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

/** All, or none: a worker that was created and never run would keep its connection from closing. */
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

function optionsOf(settings: WorkerSettings, identity: string): WorkerOptions[] {
  const { connection, namespace, role, activities, bundlePath, taskQueues } = settings;
  const common = {
    connection,
    namespace,
    identity,
    shutdownGraceTime: settings.shutdownGraceTime ?? 0,
    shutdownForceTime: SHUTDOWN_FORCE_MS,
  };
  const moving = {
    ...common,
    interceptors: {
      activity: [activityInterceptor({ meters: settings.meters ?? NO_METERS, log: settings.log, identity })],
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
      // A task or a query for a worker that was killed waits so long for it, 10 s by default, before another replays the
      // workflow. Our histories are short: replaying is cheap.
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

/** One process, one fate: when one of its workers ends, for whatever reason, the others are shut down too. */
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
