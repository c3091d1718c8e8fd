import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type ClickHouseClient } from '@clickhouse/client';
import pg from 'pg';
import { connectTemporal, type TemporalClient } from '../../src/connect/temporal.js';
import { describeTable, type TableDescription } from '../../src/control/describe-table.js';
import { startTable } from '../../src/control/start-table.js';
import { viewPipeline } from '../../src/control/table-view.js';
import { compareTable, isEqual, type Comparison } from '../../dev/compare/compare.js';
import { startWorkerProcess, type WorkerProcess } from '../../dev/demo/worker-process.js';
import { quoteCh } from '../../src/domain/identifier.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { workflowIdOf, type TableName } from '../../src/domain/table-name.js';
import type { StackAddresses } from '../../dev/stack/stack.js';
import { migrateLedger } from '../../src/ledger/migrate.js';
import { findTable } from '../../src/ledger/tables.js';
import { taskQueuesOf, type TaskQueues } from '../../src/domain/deployment.js';
import { readDeployment } from '../../src/source/deployment.js';
import { loadSettings } from '../../src/settings/settings.js';
import { ensureSearchAttributes } from '../../src/worker/search-attributes.js';
import { clickhouseOptions, environmentOf } from './clients.js';
import { leastRole } from './least-role.js';
import { freshName, waitFor } from './stack.js';

/** A table, and how its rows travel. Slices of a minute by default. */
export type AddedTable = TableName & TableOptions & { readonly sliceMs?: number };

export interface Progress {
  /** Rows confirmed since the table was added. */
  readonly published: number;
  readonly loaded: number;
  /** Events in the outbox. */
  readonly outbox: number;
  /** Pids of the workers that hold the stages: the same one where a table has one for both. */
  readonly publisher: number;
  readonly loader: number;
}

/**
 * Real servers, and a worker in a process of its own that can be killed. Nothing in it is shared with another test. pg2click
 * connects as the role it is documented to need and no more; the test is the owner of the tables.
 */
export interface Harness {
  readonly worker: WorkerProcess;
  /** Settings of the worker, for a command of the CLI to run under. */
  readonly environment: Readonly<Record<string, string>>;
  readonly clickhouse: ClickHouseClient;
  readonly temporal: TemporalClient;
  /** Workers that ended without being killed: none should. */
  readonly deaths: readonly string[];
  /** A connection, ended with the harness. */
  connect(options?: { readonly synchronousCommit?: 'off' }): Promise<pg.Client>;
  /** Another worker beside the first; it reaches some of the servers elsewhere if told so. Ended with the harness. */
  startWorker(elsewhere?: Partial<StackAddresses>): Promise<WorkerProcess>;
  /** Adds tables and waits until their rows are there. @returns the ledger's ids */
  add(...tables: readonly AddedTable[]): Promise<readonly string[]>;
  /** How far a table has come, as the ledger and the outbox tell it. */
  progress(id: string): Promise<Progress>;
  workflowId(name: TableName): string;
  /** What Temporal knows of a table. */
  describe(name: TableName): Promise<TableDescription | undefined>;
  /** Compares until all are equal or the deadline is over. @returns the last comparison of each table */
  settle(deadlineMs: number): Promise<readonly Comparison[]>;
  /** From now on, what is inserted into the targets is remembered, row by row. */
  watchInserts(): Promise<void>;
  /** What was inserted since then: rows, and those of them that were there already, with the same key and version. */
  countInserts(): Promise<{ readonly rows: number; readonly repeated: number }>;
  close(): Promise<void>;
}

const LOAD_DEADLINE_MS = 90_000;

/**
 * @param addresses of a stack whose PostgreSQL and ClickHouse databases are empty and of this test only
 * @param elsewhere where the first worker reaches some of them, through a proxy say
 * @param more settings of the workers and of the CLI
 */
export async function openHarness(
  addresses: StackAddresses,
  elsewhere: Partial<StackAddresses> = {},
  more: Readonly<Record<string, string>> = {},
): Promise<Harness> {
  const stateDir = mkdtempSync(join(tmpdir(), 'pg2click-harness-'));
  const names = { pipeline: freshName('harness'), namespace: freshName('harness') };
  const { pipeline, namespace } = names;
  const least = await leastRole(addresses.postgres);
  const { user: role, password: secret } = least;
  /** Of pg2click, which reaches some servers elsewhere. */
  const environmentAt = (there: Partial<StackAddresses>): Record<string, string> => ({
    ...environmentOf({
      ...addresses,
      ...there,
      postgres: { ...(there.postgres ?? least), user: role, password: secret },
      temporal: { ...(there.temporal ?? addresses.temporal), namespace, uiUrl: '' },
    }),
    PG2CLICK_PIPELINE: pipeline,
    ...more,
  });
  await registerNamespace(addresses, namespace);
  const settings = loadSettings({ env: environmentAt({}), envFile: false, stackFile: false });
  const temporal = await connectTemporal(settings);
  await ensureSearchAttributes(temporal.client.connection, namespace);
  const { database } = addresses.clickhouse;
  const clickhouse = createClient({ ...clickhouseOptions(addresses.clickhouse), database });
  const connections: pg.Client[] = [];
  const connect: Harness['connect'] = async ({ synchronousCommit } = {}) => {
    const client = new pg.Client({
      ...addresses.postgres,
      ...(synchronousCommit === undefined ? {} : { options: '-c synchronous_commit=off' }),
    });
    client.on('error', () => undefined); // a server that is killed says no goodbye
    await client.connect();
    connections.push(client);
    return client;
  };
  const admin = new pg.Pool({ ...least, max: 4 });
  admin.on('error', () => undefined);
  const migrating = await admin.connect();
  await migrateLedger(migrating);
  migrating.release();
  const queues = taskQueuesOf((await readDeployment(admin, pipeline)).id);
  const deaths: string[] = [];
  const workers: WorkerProcess[] = [];
  const startWorker = async (there: Partial<StackAddresses> = {}): Promise<WorkerProcess> => {
    const options = {
      stateDir: join(stateDir, `worker-${workers.length + 1}`),
      settings: environmentAt(there),
    };
    mkdirSync(options.stateDir);
    const started = await startWorkerProcess(options, ({ code, signal }, logFile) => {
      deaths.push(`${signal ?? code}, see ${logFile}`);
    });
    workers.push(started);
    return started;
  };
  const worker = await startWorker(elsewhere);
  const tables: AddedTable[] = [];
  // A plain MergeTree has no other versions of a row to leave out.
  const viewOf = ({ table, engine }: AddedTable) => ({
    database,
    table: engine === 'merge-tree' ? table : `${table}_current`,
  });

  // A log has more rows than its table: its test compares it with what was written.
  const comparable = (): readonly AddedTable[] => tables.filter(({ engine }) => engine !== 'log');
  const compareAll = async (names = comparable()): Promise<readonly Comparison[]> => {
    const comparisons: Comparison[] = [];
    const postgres = await connect();
    try {
      for (const name of names)
        comparisons.push(await compareTable({ postgres, clickhouse, table: name, view: viewOf(name) }));
    } finally {
      await postgres.end();
    }
    return comparisons;
  };
  const settle: Harness['settle'] = async (deadlineMs) => {
    const deadline = Date.now() + deadlineMs;
    for (;;) {
      const comparisons = await compareAll();
      if (comparisons.every(isEqual) || Date.now() > deadline) return comparisons;
      await expectNoPark(temporal, admin, pipeline, queues);
      await sleep(500);
    }
  };
  return {
    worker,
    environment: environmentAt(elsewhere),
    clickhouse,
    temporal,
    deaths,
    connect,
    startWorker,
    settle,
    workflowId: (name) => workflowIdOf(pipeline, name),
    describe: (name) => describeTable(temporal.client, workflowIdOf(pipeline, name)),
    async progress(id) {
      const found = await admin.query<{ stage: string; rows: number; owner: string }>(
        /* sql */ `select stage, rows::float8 as rows, owner from pg2click.stage where table_id = $1`,
        [id],
      );
      const outbox = await admin.query<{ n: number }>(/* sql */ `select count(*)::int as n from pg2click.outbox_${id}`);
      const of = (stage: string) => found.rows.find((row) => row.stage === stage || row.stage === 'direct:main');
      const pidOf = (stage: string) => Number(of(stage)?.owner.split('/').at(-1));
      return {
        published: of('publish')?.rows ?? 0,
        loaded: of('load:main')?.rows ?? 0,
        outbox: outbox.rows[0]?.n ?? 0,
        publisher: pidOf('publish'),
        loader: pidOf('load:main'),
      };
    },
    async add(...names) {
      for (const { schema, table, sliceMs, ...options } of names)
        await startTable(temporal.client, {
          pipeline,
          schema,
          table,
          sliceMs,
          options,
          taskQueue: queues.workflow,
        });
      tables.push(...names);
      const ids: string[] = [];
      for (const name of names) {
        ids.push(
          await waitFor(async () => (await findTable(admin, pipeline, name))?.id, {
            deadlineMs: LOAD_DEADLINE_MS,
            what: `${name.table} in the ledger`,
          }),
        );
      }
      await waitFor(async () => (await compareAll(names.filter(({ engine }) => engine !== 'log'))).every(isEqual), {
        deadlineMs: LOAD_DEADLINE_MS,
        what: 'the first load',
        everyMs: 250,
      });
      return ids;
    },
    async watchInserts() {
      for (const { table } of tables) {
        await clickhouse.command({
          query: /* sql */ `
            create table ${quoteCh(`${table}_seen`)} (key String, version UInt128)
            engine = MergeTree order by tuple()`,
        });
        const key = await sortingKey(clickhouse, database, table);
        await clickhouse.command({
          query: /* sql */ `
            create materialized view ${quoteCh(`${table}_watch`)} to ${quoteCh(`${table}_seen`)}
            as select toString(tuple(${key})) as key, _version as version from ${quoteCh(table)}`,
        });
      }
    },
    async countInserts() {
      let rows = 0;
      let repeated = 0;
      for (const { table } of tables) {
        const answer = await clickhouse.query({
          query: /* sql */ `
            select toString(count()) as rows, toString(count() - uniqExact(key, version)) as repeated
            from ${quoteCh(`${table}_seen`)}`,
          format: 'JSONEachRow',
        });
        const [counts] = await answer.json<{ rows: string; repeated: string }>();
        rows += Number(counts?.rows);
        repeated += Number(counts?.repeated);
      }
      return { rows, repeated };
    },
    async close() {
      for (const each of workers) {
        await each.kill();
        await each.stop();
      }
      await temporal.close();
      await admin.end();
      for (const connection of connections) await connection.end().catch(() => undefined);
      await clickhouse.close();
      rmSync(stateDir, { recursive: true, force: true });
    },
  };
}

/** A worker process polls the queues of all pipelines: a namespace of its own keeps it to this test's tables. */
async function registerNamespace({ temporal }: StackAddresses, namespace: string): Promise<void> {
  const settings = loadSettings({
    env: environmentOf({ temporal }),
    envFile: false,
    stackFile: false,
  });
  const temporalClient = await connectTemporal(settings);
  const { client } = temporalClient;
  try {
    await client.workflowService.registerNamespace({
      namespace,
      workflowExecutionRetentionPeriod: { seconds: (24 * 3_600) as never },
    });
    await waitFor(
      async () => {
        await client.workflowService.countWorkflowExecutions({ namespace });
        return true;
      },
      { deadlineMs: 30_000, what: `namespace ${namespace}`, everyMs: 200 },
    );
  } finally {
    await temporalClient.close();
  }
}

async function sortingKey(clickhouse: ClickHouseClient, database: string, table: string): Promise<string> {
  const answer = await clickhouse.query({
    query: /* sql */ `select sorting_key from system.tables where database = {database: String} and name = {table: String}`,
    query_params: { database, table },
    format: 'JSONEachRow',
  });
  const [row] = await answer.json<{ sorting_key: string }>();
  if (row === undefined) throw new Error(`there is no ${table} in ClickHouse`);
  return row.sorting_key;
}

async function expectNoPark(
  temporal: TemporalClient,
  admin: pg.Pool,
  pipeline: string,
  queues: TaskQueues,
): Promise<void> {
  const source = { ledger: admin, source: admin, client: temporal.client, pipeline, queues, uiUrl: undefined };
  for (const { table, failure } of (await viewPipeline(source)).tables)
    if (failure?.retrying === false) throw new Error(`${table} is parked: ${failure.kind}: ${failure.message}`);
}
