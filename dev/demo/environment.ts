import { join } from 'node:path';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Client, Pool } from 'pg';
import { connectClickHouse } from '../../src/connect/clickhouse.js';
import { connectPostgres, createPostgresPool } from '../../src/connect/postgres.js';
import { connectTemporal, type TemporalClient } from '../../src/connect/temporal.js';
import type { CleanupStack } from '../cleanup-stack.js';
import type { ServerName } from '../../src/settings/server-name.js';
import { startDevRegistry } from '../stack/dev-registry.js';
import { startStack, type Stack, type StackEvent } from '../stack/stack.js';
import { taskQueuesOf, type TaskQueues } from '../../src/domain/deployment.js';
import { readDeployment } from '../../src/source/deployment.js';
import { loadSettings, type Settings } from '../../src/settings/settings.js';
import { startWorkerProcess, type WorkerProcess } from './worker-process.js';

/** The demo's tables are a pipeline of their own. */
export const PIPELINE = 'demo';

/** What the demo runs on: servers of its own, on a folder of its own. Nothing of the user's settings is read. */
export interface Environment {
  readonly stack: Stack;
  readonly settings: Settings;
  readonly stackFile: string;
  readonly clickhouse: ClickHouseClient;
  readonly temporal: TemporalClient;
  /** For questions that stand alone. */
  readonly pool: Pool;
  /** The deployment's. */
  readonly queues: TaskQueues;
  /** A connection that is ended at the end. */
  connect(name: string): Promise<Client>;
  startWorker(onDeath: (text: string) => void): Promise<WorkerProcess>;
}

/**
 * Starts the four servers, empty, and connects.
 * @throws Failure as `startStack`; the signal's reason when aborted
 */
export async function openEnvironment(options: {
  readonly stateDir: string;
  readonly signal: AbortSignal;
  readonly cleanup: CleanupStack;
  readonly report: (event: StackEvent) => void;
  /** Those that the way of the rows needs. */
  readonly servers: readonly ServerName[];
  /** Messages are in Avro. */
  readonly needsRegistry: boolean;
}): Promise<Environment> {
  const { stateDir, signal, cleanup } = options;
  const stack = await startStack({ stateDir, reset: true, signal, report: options.report, servers: options.servers });
  cleanup.defer(() => stack.stop());
  const stackFile = join(stateDir, 'stack.json');
  const registry = options.needsRegistry ? await startDevRegistry(stateDir, { reset: true }, signal) : undefined;
  if (registry !== undefined) cleanup.defer(() => registry.stop());
  const env = {
    PG2CLICK_PIPELINE: PIPELINE,
    PG2CLICK_STACK_FILE: stackFile,
    ...(registry === undefined ? {} : { SCHEMA_REGISTRY_URL: registry.url }),
  };
  const settings = loadSettings({ env, envFile: false });
  const clickhouse = connectClickHouse(settings, { requestTimeoutMs: 30_000 });
  cleanup.defer(() => clickhouse.close());
  const pool = createPostgresPool(settings, { max: 4, name: 'demo' });
  cleanup.defer(() => pool.end());
  const temporal = await connectTemporal(settings);
  cleanup.defer(() => temporal.close());
  const { id } = await readDeployment(pool, PIPELINE);
  return {
    queues: taskQueuesOf(id),
    stack,
    settings,
    stackFile,
    clickhouse,
    temporal,
    pool,
    async connect(name) {
      const pg = await connectPostgres(settings, { name: `demo ${name}` });
      // As a user's session: ours find nothing by a bare name.
      await pg.query(/* sql */ `set search_path = public`);
      cleanup.defer(async () => pg[Symbol.asyncDispose]());
      return pg;
    },
    async startWorker(onDeath) {
      const worker = await startWorkerProcess({ stateDir, settings: env }, ({ code, signal: by }, logFile) =>
        onDeath(`the worker ended by itself (${by ?? `exit code ${code}`}); its log is ${logFile}`),
      );
      cleanup.defer(() => worker.stop());
      return worker;
    },
  };
}
