import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { Connection } from '@temporalio/client';
import pg from 'pg';
import { until } from '../src/demo/until.js';
import { TASK_QUEUES } from '../src/domain/receipt.js';
import { startStack, type Stack } from '../src/embedded/stack.js';
import { packageRoot } from '../src/package-root.js';
import { withoutSettings } from '../src/settings/settings.js';

/** `TASK_QUEUE_TYPE_ACTIVITY` of Temporal's API. */
const ACTIVITY_QUEUE = 2;
/** A bench is ended by ending its process. */
export const NEVER = new AbortController().signal;
const MAIN = join(packageRoot, 'dist', 'src', 'cli', 'main.js');

/** A local stack of its own with one worker process: where figures are taken. `await using` ends all of it. */
export interface Bench extends AsyncDisposable {
  readonly stack: Stack;
  readonly postgres: pg.Client;
  readonly clickhouse: ClickHouseClient;
  readonly worker: ChildProcess;
  /** Runs a command of the CLI and resolves when it ends well. */
  readonly cli: (...args: string[]) => Promise<void>;
}

export async function openBench(): Promise<Bench> {
  const stateDir = join(packageRoot, '.pg2click', 'bench');
  const stack = await startStack({ stateDir, reset: true, report: () => undefined });
  const env = { ...withoutSettings(), PG2CLICK_STACK_FILE: join(stateDir, 'stack.json'), PG2CLICK_LOG_LEVEL: 'warn' };
  const run = (args: readonly string[]): ChildProcess =>
    spawn(process.execPath, [MAIN, ...args], { cwd: stateDir, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const cli = async (...args: string[]): Promise<void> => {
    const [code] = (await once(run(args), 'exit')) as [number | null];
    if (code !== 0) throw new Error(`pg2click ${args.join(' ')} ended with ${code}`);
  };
  const { postgres, clickhouse } = stack.addresses;
  const client = new pg.Client(postgres);
  await client.connect();
  const sink = createClient({
    url: clickhouse.url,
    username: clickhouse.user,
    password: clickhouse.password,
    database: clickhouse.database,
  });
  await cli('init');
  const worker = run(['worker']);
  await workerPolls(stack);
  return {
    stack,
    postgres: client,
    clickhouse: sink,
    worker,
    cli,
    async [Symbol.asyncDispose]() {
      worker.kill('SIGTERM');
      if (worker.exitCode === null) await once(worker, 'exit');
      await client.end();
      await sink.close();
      await stack.stop();
    },
  };
}

/** Resolves once both activity queues are polled. */
async function workerPolls({ addresses: { temporal } }: Stack): Promise<void> {
  const connection = await Connection.connect({ address: temporal.address });
  try {
    await until('the worker', { deadlineMs: 60_000, everyMs: 200, signal: NEVER }, async () => {
      const polled = await Promise.all(
        [TASK_QUEUES.producer, TASK_QUEUES.consumer].map(async (name) => {
          const queue = await connection.workflowService.describeTaskQueue({
            namespace: temporal.namespace,
            taskQueue: { name },
            taskQueueType: ACTIVITY_QUEUE,
          });
          return (queue.pollers ?? []).length > 0;
        }),
      );
      return polled.every(Boolean);
    });
  } finally {
    await connection.close();
  }
}

export async function count(clickhouse: ClickHouseClient, query: string): Promise<number> {
  const result = await clickhouse.query({ query, format: 'JSONEachRow' });
  const [row] = await result.json<{ n: string | number }>();
  return Number(row?.n ?? 0);
}
