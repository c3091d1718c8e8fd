import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { readBacklog } from '../../src/control/backlog.js';
import { viewPipeline } from '../../src/control/table-view.js';
import type { OffsetBatch } from '../../src/domain/batch.js';
import { taskQueuesOf } from '../../src/domain/deployment.js';
import { SEARCH_KEYS } from '../../src/domain/search-attributes.js';
import { formatTableName } from '../../src/domain/table-name.js';
import { advanceOutbox } from '../../src/ledger/outbox.js';
import { advanceStage, claimStage } from '../../src/ledger/stages.js';
import type { TopicRow } from '../../src/topic/topic-source.js';
import { connectClickHouse } from '../../src/connect/clickhouse.js';
import { createPostgresPool } from '../../src/connect/postgres.js';
import { Collector, type CollectorDeps } from '../../src/worker/collect.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { seeMetrics, type SeenMetrics } from '../support/seen-metrics.js';
import { temporalOptions } from '../support/clients.js';
import { addressOf, freshName, waitFor } from '../support/stack.js';

let path: Path;
let connection: Connection;

beforeAll(async () => {
  path = await openPath();
  connection = await Connection.connect(temporalOptions(addressOf('temporal')));
});
afterAll(async () => {
  await connection.close();
  await path.close();
});

interface Watched {
  readonly table: Followed;
  readonly collector: Collector;
  /** What the collector looks at: may be exchanged between two looks. */
  readonly deps: { -readonly [Name in keyof CollectorDeps]: CollectorDeps[Name] };
  readonly seen: SeenMetrics;
  /** A gauge of the table, after the last look. */
  readonly gauge: (name: string, labels?: Readonly<Record<string, string>>) => number | undefined;
}

async function watch(): Promise<Watched> {
  const name = freshName('watched');
  await path.source.query(`create table ${name} (id bigint primary key, note text)`);
  return startWatching(await path.add(name));
}

/** As a process that has just started. */
function startWatching(table: Followed): Watched {
  const seen = seeMetrics();
  const { ledger, source, clickhouse, log } = path.deps;
  const temporal = new Client({ connection, namespace: addressOf('temporal').namespace });
  const deps = { ledger, source, clickhouse, log, temporal, taskQueue: QUEUES.workflow, meters: seen.meters };
  const labels = { pipeline: path.settings.pipeline, table: `public.${table.name.table}` };
  return {
    table,
    deps,
    collector: new Collector(deps),
    seen,
    gauge: (gauge, more = {}) => seen.value(gauge, { ...labels, ...more }),
  };
}

/** Nobody polls them. */
const QUEUES = taskQueuesOf('00000000');
const PUBLISH = { stage: 'publish' };
const LOAD = { stage: 'load:main' };

it('tells of what waits in the outbox and in Kafka while no slice runs, and of nothing once it is loaded', async () => {
  const { table, collector, gauge } = await watch();
  await path.source.query(`insert into ${table.name.table} select i, 'x' from generate_series(1, 300) i`);
  await collector.collect();
  expect(gauge('pg2click_lag_rows', PUBLISH)).toBe(300);
  expect(gauge('pg2click_lag_bytes', PUBLISH)).toBeNaN(); // no row was moved yet
  expect(gauge('pg2click_lag_rows', LOAD)).toBe(0);
  expect(gauge('pg2click_outbox_bytes')).toBeGreaterThan(8_192);
  const early = gauge('pg2click_lag_seconds', PUBLISH);
  await waitFor(
    async (see) => {
      await collector.collect();
      const now = gauge('pg2click_lag_seconds', PUBLISH) ?? 0;
      see({ early, now });
      return now > (early ?? 0) + 0.5;
    },
    { deadlineMs: 10_000, what: 'the age of the oldest event to grow' },
  );

  await table.publish();
  await collector.collect();
  expect(gauge('pg2click_lag_rows', PUBLISH)).toBe(0);
  expect(gauge('pg2click_lag_seconds', PUBLISH)).toBe(0);
  expect(gauge('pg2click_lag_rows', LOAD)).toBe(300);

  await table.load();
  await collector.collect();
  expect(gauge('pg2click_lag_rows', LOAD)).toBe(0);
  expect(gauge('pg2click_lag_seconds', LOAD)).toBe(0);
  expect(gauge('pg2click_active_parts')).toBeGreaterThan(0);
  const at = gauge('pg2click_last_batch_timestamp_seconds', LOAD) ?? 0;
  expect(Math.abs(Date.now() / 1_000 - at)).toBeLessThan(60);

  await path.source.query(`truncate ${table.name.table}`);
  await waitFor(
    async (see) => {
      await table.settle();
      await collector.collect();
      const waiting = [PUBLISH, LOAD].map((stage) => gauge('pg2click_lag_rows', stage));
      see(waiting);
      return waiting.every((rows) => rows === 0);
    },
    { deadlineMs: 30_000, what: 'the TRUNCATE to be loaded and told' },
  );
});

it('guesses bytes from the rows moved so far', async () => {
  const { table, collector, gauge } = await watch();
  await path.source.query(`insert into ${table.name.table} select i, repeat('x', 100) from generate_series(1, 50) i`);
  const { bytes } = await table.publish();
  await path.source.query(`update ${table.name.table} set note = repeat('y', 100)`);
  await collector.collect();
  const guessed = gauge('pg2click_lag_bytes', PUBLISH) ?? 0;
  expect(guessed).toBeGreaterThan(bytes * 0.9);
  expect(guessed).toBeLessThan(bytes * 1.1);
});

it('a batch that was named and never sent is as old as its name, also for a process that has just started', async () => {
  const { table } = await watch();
  await path.source.query(`insert into ${table.name.table} values (1, 'x')`);
  const tableId = table.receipt.id;
  const { epoch } = await claimStage(path.deps.ledger, { tableId, stage: 'publish', owner: 'test' });
  await advanceOutbox(path.deps.ledger, { tableId, stage: 'publish', epoch }, null, 10);
  await path.source.query(
    `update pg2click.stage set updated_at = now() - interval '1 hour' where table_id = ${tableId}`,
  );
  const { collector, gauge } = startWatching(table);
  await collector.collect();
  expect(gauge('pg2click_lag_seconds', PUBLISH)).toBeGreaterThan(3_590);
});

it('a table that lost its outbox, or a stage in the ledger, goes on to be told of: what is gone is not known', async () => {
  const { table, collector, gauge } = await watch();
  const { id } = table.receipt;
  await path.source.query(`insert into ${table.name.table} values (1, 'x')`);
  await table.publish();
  const standing = async () => (await readBacklog(path.deps, { name: table.name }))[0];
  await path.source.query(`drop table pg2click.outbox_${id}`);
  await collector.collect();
  expect(gauge('pg2click_lag_rows', PUBLISH)).toBeNaN();
  expect(gauge('pg2click_lag_rows', LOAD)).toBe(1);
  expect(gauge('pg2click_outbox_bytes')).toBeUndefined();
  expect((await standing())?.stages['publish']).toMatchObject({ waiting: null, rows: 1 });

  await path.source.query(`delete from pg2click.stage where table_id = ${id} and stage = 'load:main'`);
  await collector.collect();
  expect(gauge('pg2click_lag_rows', LOAD)).toBeNaN();
  expect(gauge('pg2click_last_batch_timestamp_seconds', PUBLISH)).toBeGreaterThan(0);
  expect(Object.keys((await standing())?.stages ?? {})).toEqual(['copy', 'publish']);
});

it('what waits in the batch in hand counts, in the one count that status and metrics have', async () => {
  const { table, collector, gauge } = await watch();
  await path.source.query(`insert into ${table.name.table} select i, 'x' from generate_series(1, 40) i`);
  await table.publish();
  const claim = { tableId: table.receipt.id, stage: 'load:main' };
  const { epoch, position } = await claimStage<TopicRow>(path.deps.ledger, { ...claim, owner: 'test' });
  const ranges = { '0': { first: position.offsets['0'] ?? '', last: String(Number(position.offsets['0']) + 39) } };
  await advanceStage(path.deps.ledger, { ...claim, epoch }, null, { batch: 1, generation: 1, ranges } as OffsetBatch);
  await collector.collect();
  expect(gauge('pg2click_lag_rows', LOAD)).toBe(40);
  const client = new Client({ connection, namespace: addressOf('temporal').namespace });
  const source = {
    ledger: path.deps.ledger,
    source: path.deps.source,
    client,
    pipeline: path.settings.pipeline,
    queues: QUEUES,
    uiUrl: undefined,
  };
  const shown = (await viewPipeline(source, table.name)).tables[0];
  expect(shown).toMatchObject({ phase: 'stopped', waiting: 40, answering: false });
  const { lagSeconds = null, ...load } = shown?.stages.find(({ id }) => id === 'load:main') ?? {};
  expect(load).toMatchObject({ waiting: 40, waitingIn: 'Kafka', running: false });
  expect(lagSeconds).toBeGreaterThan(0);
});

it('a workflow whose id is no name of a table is shown as it is called, and the others as ever', async () => {
  const { table } = await watch();
  const client = new Client({ connection, namespace: addressOf('temporal').namespace });
  const { pipeline } = path.settings;
  const handle = await client.workflow.start('replicateTable', {
    workflowId: `replicate/${pipeline}/a.b.c"`,
    taskQueue: freshName('nobody'),
  });
  onTestFinished(() => handle.terminate().then(() => undefined));
  const source = {
    ledger: path.deps.ledger,
    source: path.deps.source,
    client,
    pipeline,
    queues: QUEUES,
    uiUrl: undefined,
  };
  const names = await waitFor(
    async () => {
      const seen = (await viewPipeline(source)).tables.map((each) => each.table);
      return seen.includes('a.b.c"') ? seen : undefined;
    },
    { deadlineMs: 30_000, what: 'the workflow in the list of Temporal' },
  );
  expect(names).toContain(formatTableName(table.name));
});

it('a table of another deployment in the namespace is not told of: its own workers do', async () => {
  const { collector, seen } = await watch();
  const client = new Client({ connection, namespace: addressOf('temporal').namespace });
  const start = async (taskQueue: string): Promise<string> => {
    const pipeline = freshName('pipeline');
    const handle = await client.workflow.start('replicateTable', {
      workflowId: `replicate/${pipeline}/public.orders`,
      taskQueue,
      typedSearchAttributes: [{ key: SEARCH_KEYS.phase, value: 'parked' }],
    });
    onTestFinished(() => handle.terminate().then(() => undefined));
    return pipeline;
  };
  const phaseOf = (pipeline: string): number | undefined =>
    seen.value('pg2click_table_phase', { pipeline, table: 'public.orders', phase: 'parked' });
  const other = await start(taskQueuesOf('11111111').workflow);
  const own = await start(QUEUES.workflow);
  await waitFor(
    async () => {
      await collector.collect();
      return phaseOf(own) === 1;
    },
    { deadlineMs: 30_000, what: 'the phase of the own table' },
  );
  expect(phaseOf(other)).toBeUndefined();
});

it('a table that was removed leaves no figure behind', async () => {
  const { table, collector, gauge } = await watch();
  await path.source.query(`insert into ${table.name.table} values (1, 'x')`);
  await collector.collect();
  expect(gauge('pg2click_lag_rows', PUBLISH)).toBe(1);
  expect(gauge('pg2click_table_phase', { phase: 'stopped' })).toBe(1); // in the ledger, and no workflow runs
  await table.remove(true);
  await collector.collect();
  for (const name of ['pg2click_lag_rows', 'pg2click_lag_seconds']) expect(gauge(name, PUBLISH), name).toBeNaN();
  for (const name of ['pg2click_outbox_bytes', 'pg2click_active_parts']) expect(gauge(name), name).toBeNaN();
  expect(gauge('pg2click_table_phase', { phase: 'stopped' })).toBeNaN();
});

it('without ClickHouse the figures of the ledger go on, and the count of parts is not known', async () => {
  const { collector, deps, seen, gauge } = await watch();
  await collector.collect();
  expect(gauge('pg2click_active_parts')).toBe(0);
  const before = seen.value('pg2click_collected_timestamp_seconds') ?? 0;
  deps.clickhouse = connectClickHouse({
    ...path.settings,
    clickhouse: { ...path.settings.clickhouse, url: 'http://127.0.0.1:1' },
  });
  await collector.collect();
  await deps.clickhouse.close();
  expect(gauge('pg2click_active_parts')).toBeNaN();
  expect(gauge('pg2click_lag_rows', PUBLISH)).toBe(0);
  expect(seen.value('pg2click_collected_timestamp_seconds')).toBeGreaterThan(before);
});

it('without PostgreSQL nothing of the ledger is known, and the time of the last look stands still as NaN', async () => {
  const { collector, deps, seen, gauge } = await watch();
  await collector.collect();
  const nowhere = createPostgresPool(
    { ...path.settings, postgres: { ...path.settings.postgres, port: 1 } },
    { max: 1 },
  );
  Object.assign(deps, { ledger: nowhere, source: nowhere });
  await collector.collect();
  await nowhere.end();
  for (const name of ['pg2click_lag_rows', 'pg2click_lag_seconds']) expect(gauge(name, LOAD), name).toBeNaN();
  expect(seen.value('pg2click_collected_timestamp_seconds')).toBeNaN();
  expect(gauge('pg2click_active_parts')).toBe(0);
});

it('a transaction that stays open shows in its age, and no longer once it has ended', async () => {
  const { table, collector, seen } = await watch();
  const writer = await path.session();
  await writer.query(`begin; insert into ${table.name.table} values (7, 'open')`);
  const age = (): number => seen.value('pg2click_oldest_transaction_seconds') ?? 0;
  await waitFor(
    async (see) => {
      await collector.collect();
      see(age());
      return age() > 1;
    },
    { deadlineMs: 30_000, what: 'the age of the open transaction' },
  );
  const before = age();
  await writer.query('commit');
  await waitFor(
    async (see) => {
      await collector.collect();
      see(age());
      return age() < before;
    },
    { deadlineMs: 30_000, what: 'the end of the open transaction' },
  );
});
