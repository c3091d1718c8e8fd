import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient, type ClickHouseClient } from '@clickhouse/client';
import pg from 'pg';
import { connectClickHouse } from '../../src/connect/clickhouse.js';
import { connectTemporal, type TemporalClient } from '../../src/connect/temporal.js';
import { taskQueuesOf, type TaskQueues } from '../../src/domain/deployment.js';
import { packageRoot } from '../../src/package-root.js';
import { loadSettings, withoutSettings } from '../../src/settings/settings.js';
import { readDeployment } from '../../src/source/deployment.js';
import type { CleanupStack } from '../cleanup-stack.js';
import { MAIN } from '../demo/worker-process.js';
import { openDebezium, type Debezium } from '../stack/debezium.js';
import { startDevRegistry } from '../stack/dev-registry.js';
import type { Registry } from '../stack/registry.js';
import { settingsOf } from '../stack/stack-settings.js';
import { startStack, type Stack, type StackAddresses } from '../stack/stack.js';
import type { Journal } from './journal.js';
import { DEBEZIUM } from './table.js';
import { startWorker, type NightWorker } from './worker.js';

export const PIPELINE = 'night';
/** Two, so that one may die alone. */
const WORKERS = ['worker-a', 'worker-b'];
/** A command that gives no answer for so long is ended. */
const COMMAND_MS = 180_000;

export interface CommandResult {
  readonly code: number | null;
  /** Both streams. */
  readonly text: string;
}

/** The servers of a night, what breaks them, and the ways in for those who are no worker: past the networks that break. */
export interface Ground {
  readonly stack: Stack;
  readonly workers: readonly NightWorker[];
  readonly debezium: Debezium | undefined;
  readonly clickhouse: ClickHouseClient;
  readonly temporal: TemporalClient;
  readonly queues: TaskQueues;
  readonly database: string;
  /** As the owner of the tables. Ended with the ground. */
  connect(): Promise<pg.Client>;
  /** As pg2click, for questions that stand alone. */
  readonly pool: pg.Pool;
  /** Runs a command of pg2click as its operator would. */
  cli(...args: readonly string[]): Promise<CommandResult>;
  stopRegistry(): Promise<void>;
  startRegistry(): Promise<void>;
}

export interface GroundOptions {
  readonly stateDir: string;
  readonly journal: Journal;
  readonly cleanup: CleanupStack;
  readonly signal: AbortSignal;
  /** Captured from the topics of a Debezium, which runs where there is one of them. */
  readonly foreign: readonly string[];
}

/** @throws Failure as `startStack`; the signal's reason */
export async function openGround({ stateDir, journal, cleanup, signal, foreign }: GroundOptions): Promise<Ground> {
  const stack = await startStack({
    stateDir,
    reset: true,
    signal,
    report: ({ kind, ...event }) => {
      if (kind === 'died' || kind === 'failed') journal.wonder('text' in event ? event.text : event.server);
    },
  });
  cleanup.defer(() => stack.stop());
  let registry: Registry = await startDevRegistry(stateDir, { reset: true }, signal);
  cleanup.defer(() => registry.stop());
  const addresses = { ...stack.addresses, clickhouse: { ...stack.addresses.clickhouse, database: PIPELINE } };
  await makeDatabase(stack.addresses.clickhouse);
  const connect = async (): Promise<pg.Client> => {
    const client = new pg.Client(addresses.postgres);
    client.on('error', () => undefined); // a server that is killed says no goodbye
    await client.connect();
    cleanup.defer(() => client.end());
    return client;
  };
  const role = { user: 'pg2click', password: 'of-a-night' };
  await makeRole(await connect(), role.password);
  const settingsAt = (at: StackAddresses): Record<string, string> => ({
    ...Object.assign({}, ...Object.values(settingsOf({ ...at, postgres: { ...at.postgres, ...role } }))),
    SCHEMA_REGISTRY_URL: registry.url,
    KAFKA_BOOTSTRAP_FOR_CLICKHOUSE: addresses.kafka.bootstrap,
    PG2CLICK_PIPELINE: PIPELINE,
  });
  const env = settingsAt(addresses);
  const cli: Ground['cli'] = (...args) => runCommand(args, { cwd: stateDir, env });
  const made = await cli('init');
  if (made.code !== 0) throw new Error(`pg2click init ended with ${made.code}: ${made.text}`);

  const settings = loadSettings({ env, envFile: false, stackFile: false });
  const clickhouse = connectClickHouse(settings, { requestTimeoutMs: 60_000 });
  cleanup.defer(() => clickhouse.close());
  const temporal = await connectTemporal(settings);
  cleanup.defer(() => temporal.close());
  const pool = new pg.Pool({ ...addresses.postgres, ...role, max: 4 });
  pool.on('error', () => undefined);
  cleanup.defer(() => pool.end());

  const debezium =
    foreign.length === 0
      ? undefined
      : await openDebezium(addresses, { name: DEBEZIUM, tables: foreign.map((table) => `public.${table}`) });
  if (debezium !== undefined) cleanup.defer(() => debezium.close());
  const workers: NightWorker[] = [];
  for (const name of WORKERS) {
    const worker = await startWorker({ name, stateDir, addresses, settingsAt, journal });
    cleanup.defer(() => worker.close());
    workers.push(worker);
  }
  return {
    stack,
    workers,
    debezium,
    clickhouse,
    temporal,
    queues: taskQueuesOf((await readDeployment(pool, PIPELINE)).id),
    database: addresses.clickhouse.database,
    connect,
    pool,
    cli,
    stopRegistry: () => registry.stop(),
    async startRegistry() {
      registry = await startDevRegistry(stateDir, {}, signal);
    },
  };
}

/** Its tables can be exchanged, which `resync` does; those of the database `default` of the local ClickHouse cannot. */
async function makeDatabase({ url, user, password }: StackAddresses['clickhouse']): Promise<void> {
  const client = createClient({ url, username: user, password });
  await client.command({ query: `create database ${PIPELINE}` });
  await client.close();
}

/** As the page of the roles says. */
async function makeRole(pg: pg.Client, password: string): Promise<void> {
  for (const script of ['postgres.sql', 'postgres-wal.sql'])
    await pg.query(readFileSync(join(packageRoot, 'sql', 'roles', script), 'utf8'));
  await pg.query(/* sql */ `
    alter role pg2click password '${password}';
    alter default privileges in schema public grant select, trigger on tables to pg2click;
    alter default privileges in schema public grant select on sequences to pg2click`);
}

async function runCommand(
  args: readonly string[],
  { cwd, env }: { readonly cwd: string; readonly env: Readonly<Record<string, string>> },
): Promise<CommandResult> {
  const child = spawn(process.execPath, [MAIN, '--no-env-file', ...args], {
    cwd,
    env: { ...withoutSettings(), HOME: cwd, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: COMMAND_MS,
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  child.stderr.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, text: text.trim() };
}
