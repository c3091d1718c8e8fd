import { spawn, type ChildProcess } from 'node:child_process';
import { once, setMaxListeners } from 'node:events';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Kafka } from 'kafkajs';
import type pg from 'pg';
import { connectClickHouse } from '../../src/connect/clickhouse.js';
import { connectKafka } from '../../src/connect/kafka.js';
import { connectPostgres } from '../../src/connect/postgres.js';
import { connectTemporal, type TemporalClient } from '../../src/connect/temporal.js';
import { CleanupStack } from '../cleanup-stack.js';
import { until } from '../demo/until.js';
import { MAIN } from '../demo/worker-process.js';
import { taskQueuesOf, type TaskQueues } from '../../src/domain/deployment.js';
import { readDeployment } from '../../src/source/deployment.js';
import { endProcess } from '../stack/child.js';
import { startStack, type Stack, type StackEvent } from '../stack/stack.js';
import { packageRoot } from '../../src/package-root.js';
import { loadSettings, withoutSettings, type Settings } from '../../src/settings/settings.js';
import type { WorkerRole } from '../../src/worker/start.js';
import { identify } from '../../src/settings/process-identity.js';

/** `TASK_QUEUE_TYPE_ACTIVITY` of Temporal's API. */
const ACTIVITY_QUEUE = 2;
/** For waits that only the end of the process ends. */
export const NEVER = new AbortController().signal;
/** All that a bench writes is in here. */
export const STATE_DIR = join(packageRoot, '.pg2click', 'bench');

export interface EnvironmentOptions {
  /** Emptied at the start. Default: `.pg2click/bench`. */
  readonly stateDir?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly report?: ((event: StackEvent) => void) | undefined;
}

export interface WorkerOptions {
  /** Default: `all`. */
  readonly role?: WorkerRole | undefined;
  /** Resolve at once instead of when it polls the queues of its role: it may be at work by then. */
  readonly atOnce?: boolean | undefined;
  /** Of its environment, beside those of the stack. */
  readonly variables?: Readonly<Record<string, string>> | undefined;
  /** A folder in which V8 leaves a CPU profile of each thread when the worker ends. */
  readonly profileDir?: string | undefined;
}

/** A local stack of its own, where figures are taken. `await using` ends all of it, its workers first. */
export interface BenchEnvironment extends AsyncDisposable {
  readonly stack: Stack;
  readonly settings: Settings;
  readonly postgres: pg.Client;
  readonly clickhouse: ClickHouseClient;
  readonly kafka: Kafka;
  readonly temporal: TemporalClient;
  readonly signal: AbortSignal;
  /** The deployment's. */
  readonly queues: TaskQueues;
  /** A connection of the caller's own. */
  readonly connect: (name: string) => Promise<pg.Client & AsyncDisposable>;
  /** Runs a command of the CLI. @returns what it wrote on standard output @throws Error with what it wrote beside it */
  readonly cli: (...args: string[]) => Promise<string>;
  /** Starts a worker process, and resolves once it polls the queues of its role, or `atOnce`. */
  readonly startWorker: (options?: WorkerOptions) => Promise<ChildProcess>;
}

/** An environment on which one worker plays every role. */
export interface EnvironmentWithWorker extends BenchEnvironment {
  readonly worker: ChildProcess;
}

/** @throws Failure as `startStack`; the signal's reason */
export async function openEnvironment(options: EnvironmentOptions = {}): Promise<BenchEnvironment> {
  const { stateDir = STATE_DIR, signal = NEVER, report = () => undefined } = options;
  // Each connection that rests or waits listens to it.
  setMaxListeners(0, signal);
  const cleanup = new CleanupStack();
  const stack = await startStack({ stateDir, reset: true, signal, report });
  cleanup.defer(() => stack.stop());
  try {
    return await connectAll({ stack, stateDir, signal, cleanup });
  } catch (error) {
    await cleanup.disposeAsync();
    throw error;
  }
}

export async function openWithWorker(options: EnvironmentOptions = {}): Promise<EnvironmentWithWorker> {
  const environment = await openEnvironment(options);
  try {
    return { ...environment, worker: await environment.startWorker() };
  } catch (error) {
    await environment[Symbol.asyncDispose]();
    throw error;
  }
}

/** In order: the batches in hand are finished. */
export async function stopWorker(worker: ChildProcess): Promise<void> {
  if (worker.exitCode !== null || worker.signalCode !== null || worker.pid === undefined) return;
  const identity = identify(worker.pid);
  const exited = once(worker, 'exit');
  if (identity !== undefined) await endProcess(identity, 'SIGTERM');
  await exited;
}

async function connectAll(given: {
  stack: Stack;
  stateDir: string;
  signal: AbortSignal;
  cleanup: CleanupStack;
}): Promise<BenchEnvironment> {
  const { stack, stateDir, signal, cleanup } = given;
  const variables = { PG2CLICK_STACK_FILE: join(stateDir, 'stack.json'), PG2CLICK_LOG_LEVEL: 'warn' };
  const settings = loadSettings({ env: variables, envFile: false });
  const env = { ...withoutSettings(), ...variables, PG2CLICK_LOG_FORMAT: 'json' };
  const connect = async (name: string) => {
    const pg = await connectPostgres(settings, { name: `bench ${name}`, signal });
    // As a user's session: ours find nothing by a bare name.
    await pg.query(/* sql */ `set search_path = public`);
    return pg;
  };
  const postgres = await connect('environment');
  cleanup.defer(async () => postgres[Symbol.asyncDispose]());
  const queues = taskQueuesOf((await readDeployment(postgres, settings.pipeline)).id);
  const clickhouse = connectClickHouse(settings);
  cleanup.defer(() => clickhouse.close());
  const temporal = await connectTemporal(settings);
  cleanup.defer(() => temporal.close());

  const cli = async (...args: string[]): Promise<string> => {
    const child = spawn(process.execPath, [MAIN, '--no-env-file', ...args], { cwd: stateDir, env, signal });
    const heard = { out: '', err: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (heard.out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (heard.err += text));
    const [code] = (await once(child, 'close')) as [number | null];
    if (code !== 0) throw new Error(`pg2click ${args.join(' ')} ended with ${code}: ${heard.err.trim()}`);
    return heard.out;
  };
  const startWorker = async ({
    role = 'all',
    atOnce = false,
    profileDir,
    variables: ofWorker = {},
  }: WorkerOptions = {}): Promise<ChildProcess> => {
    mkdirSync(join(stateDir, 'logs'), { recursive: true });
    const log = openSync(join(stateDir, 'logs', 'worker.log'), 'a');
    const profile = profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileDir}`];
    const args = [...profile, MAIN, '--no-env-file', 'worker', '--role', role];
    // A process group of its own: Ctrl-C is for the bench, which then ends the worker.
    const worker = spawn(process.execPath, args, {
      cwd: stateDir,
      env: { ...env, ...ofWorker },
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    const onExit = (): void => void worker.kill('SIGTERM');
    process.once('exit', onExit);
    worker.once('exit', () => process.removeListener('exit', onExit));
    cleanup.defer(() => stopWorker(worker));
    if (!atOnce) await workerPolls(temporal, settings.temporal.namespace, worker, { role, queues, signal });
    return worker;
  };
  await cli('init');
  return {
    queues,
    stack,
    settings,
    postgres,
    clickhouse,
    kafka: connectKafka(settings, undefined),
    temporal,
    signal,
    connect,
    cli,
    startWorker,
    [Symbol.asyncDispose]: () => cleanup.disposeAsync(),
  };
}

/** Resolves once this very worker polls: Temporal remembers those that are gone for minutes. */
async function workerPolls(
  { client }: TemporalClient,
  namespace: string,
  worker: ChildProcess,
  { role, queues, signal }: { role: WorkerRole; queues: TaskQueues; signal: AbortSignal },
): Promise<void> {
  const names = role === 'all' ? [queues.producer, queues.consumer] : [queues[role]];
  await until('The worker', { deadlineMs: 60_000, everyMs: 200, signal }, async () => {
    if (worker.exitCode !== null || worker.signalCode !== null) throw new Error('the worker ended as it began');
    const polled = await Promise.all(
      names.map(async (name) => {
        const taskQueue = { name };
        const queue = await client.workflowService.describeTaskQueue({
          namespace,
          taskQueue,
          taskQueueType: ACTIVITY_QUEUE,
        });
        return (queue.pollers ?? []).some(({ identity }) => identity?.includes(`/${worker.pid}/`) === true);
      }),
    );
    return polled.every(Boolean);
  });
}

export async function count(clickhouse: ClickHouseClient, query: string): Promise<number> {
  const result = await clickhouse.query({ query, format: 'JSONEachRow' });
  const [row] = await result.json<{ n: string | number }>();
  return Number(row?.n ?? 0);
}
