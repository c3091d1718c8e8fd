import { afterAll, afterEach, beforeAll, expect, test as vitest } from 'vitest';
import type { Client } from 'pg';
import { isEqual } from '../../dev/compare/compare.js';
import { PartTracker } from '../../src/clickhouse/part-tracker.js';
import { composeVersion } from '../../src/domain/version.js';
import { openHarness, type Harness } from '../support/harness.js';
import { CLUSTER } from '../support/replicas/balancer.js';
import { openReplicas, type Replica, type Replicas } from '../support/replicas/replicas.js';
import { addressOf, freshDatabase, freshName, waitFor } from '../support/stack.js';

/** The engine is patched in its machine code: `engine-copy.ts`. */
const test = vitest.runIf(process.platform === 'linux' && process.arch === 'x64');

const DEADLINE_MS = 60_000;
const ROWS = 1_000;

let replicas: Replicas;
let harness: Harness;
let source: Client;

beforeAll(async () => {
  replicas = await openReplicas(freshName('replicas'));
  harness = await openHarness({
    postgres: await freshDatabase('replicas'),
    kafka: addressOf('kafka'),
    clickhouse: replicas.address,
    temporal: addressOf('temporal'),
  });
  source = await harness.connect();
});
afterAll(async () => {
  await harness?.close();
  await replicas?.close();
});

afterEach(() => {
  replicas.exchange.release();
  replicas.balancer.use([replicas.one.port, replicas.two.port]);
});

/** A table with rows. */
const makeSource = async (
  table: string,
): Promise<{ schema: string; table: string; cluster: string; sliceMs: number }> => {
  await source.query(`create table ${table} (id bigint primary key, status text not null)`);
  await source.query(`insert into ${table} select n, 'new' from generate_series(1, ${ROWS}) n`);
  return { schema: 'public', table, cluster: CLUSTER, sliceMs: 3_000 };
};

/** Rows by status, read on the replica itself and not through the balancer. */
const statusOn = async ({ client }: Replica, table: string): Promise<unknown> => {
  const answer = await client.query({
    query: /* sql */ `select status, toString(count()) as rows from ${replicas.address.database}.${table}_current group by 1 order by 1`,
    format: 'JSONEachRow',
  });
  return Object.fromEntries(
    (await answer.json<{ status: string; rows: string }>()).map((row) => [row.status, Number(row.rows)]),
  );
};
const bothHave = async (table: string, expected: Readonly<Record<string, number>>): Promise<void> => {
  for (const replica of [replicas.one, replicas.two])
    await waitFor(
      async (see) => {
        const found = await statusOn(replica, table);
        see(found);
        return JSON.stringify(found) === JSON.stringify(expected);
      },
      { deadlineMs: DEADLINE_MS, what: `replica ${replica.name} is level`, everyMs: 200 },
    );
};
const loadedBy = async (id: string, rows: number): Promise<void> => {
  await waitFor(
    async (see) => {
      const { loaded } = await harness.progress(id);
      see(loaded);
      return loaded >= rows;
    },
    { deadlineMs: DEADLINE_MS, what: `${rows} rows are confirmed`, everyMs: 100 },
  );
};
const failureOf = async (table: string) =>
  waitFor(
    async (see) => {
      const found = await harness.describe({ schema: 'public', table });
      see(found);
      return found?.pending.find(({ failure }) => failure !== undefined && failure.kind !== 'WorkerLost')?.failure;
    },
    { deadlineMs: DEADLINE_MS, what: 'a failure', everyMs: 100 },
  );
const isNotParked = async (): Promise<void> => {
  expect((await harness.settle(DEADLINE_MS)).every(isEqual)).toBe(true);
  expect(harness.deaths).toEqual([]);
};

test('each request may go to the other replica: the copy and the changes arrive on both', async () => {
  const orders = await makeSource('orders');
  await harness.add(orders);
  await source.query(`update orders set status = 'paid' where id <= 500`);
  await isNotParked();
  await bothHave('orders', { new: 500, paid: 500 });
});

test('a replica that lags behind what was confirmed is waited for', async () => {
  const [id = ''] = await harness.add(await makeSource('lagging'));
  const before = (await harness.progress(id)).loaded;
  replicas.balancer.use([replicas.one.port]);
  replicas.exchange.hold();
  await source.query(`update lagging set status = 'paid' where id <= 10`);
  await loadedBy(id, before + 10);
  await harness.worker.kill();
  replicas.balancer.use([replicas.two.port]);
  await harness.worker.start();
  const failure = await failureOf('lagging');
  expect(failure).toMatchObject({
    kind: 'SinkUnavailable',
    message: expect.stringMatching(/has yet to fetch 1 insert of others/u) as string,
  });
  await source.query(`update lagging set status = 'sent' where id between 11 and 20`);
  replicas.exchange.release();
  replicas.balancer.use([replicas.one.port, replicas.two.port]);
  await isNotParked();
  await bothHave('lagging', { new: 980, paid: 10, sent: 10 });
});

test('tables that were made by hand on each replica are one table, merged or not', async () => {
  const own = await makeSource('own');
  await waitFor(
    async () => {
      await replicas.onBoth(/* sql */ `
        create table if not exists ${replicas.address.database}.own
        (id Int64, status String, _version UInt128, _deleted UInt8)
        engine = ReplicatedReplacingMergeTree('/clickhouse/own', '{replica}', _version, _deleted) order by id`);
      return true;
    },
    { deadlineMs: DEADLINE_MS, what: 'the tables', everyMs: 500 },
  );
  await harness.add(own);
  replicas.balancer.use([replicas.one.port]);
  await source.query(`update own set status = 'paid'`);
  await isNotParked();
  // After it no row is left of the copy, which is what the ledger expects to find.
  await replicas.one.client.command({ query: `optimize table ${replicas.address.database}.own final` });
  await bothHave('own', { paid: ROWS });
  await harness.worker.kill();
  replicas.balancer.use([replicas.two.port]);
  await harness.worker.start();
  await source.query(`update own set status = 'sent'`);
  await isNotParked();
  await bothHave('own', { sent: ROWS });
});

test('a table that was made again at its path in Keeper is not the one of before', async () => {
  const { client } = replicas.one;
  const target = { database: replicas.address.database, table: 'again' };
  const shown = `${target.database}.${target.table}`;
  const run = async (query: string): Promise<void> => void (await client.command({ query }));
  const tracker = new PartTracker(client);
  const look = (by = tracker, seen: Parameters<PartTracker['inspect']>[2] = []) => by.inspect(target, 1, seen);
  const make = async (): Promise<void> => {
    await run(/* sql */ `create table ${shown} (id Int64, _version UInt128, _deleted UInt8)
      engine = ReplicatedReplacingMergeTree('/clickhouse/again', '{replica}', _version, _deleted) order by id`);
    await run(
      /* sql */ `create table if not exists ${shown}_floor (version UInt128) engine = MergeTree order by version`,
    );
  };
  const insert = (id: number, position: bigint): Promise<void> =>
    run(/* sql */ `insert into ${shown} values (${id}, ${composeVersion(1, position)}, 0)`);
  await make();
  await insert(1, 7n);
  const { newest } = await look();
  await run(/* sql */ `drop table ${shown} sync`);
  await make();
  for (const id of [2, 3, 4]) await insert(id, BigInt(id + 10));
  await run(/* sql */ `optimize table ${shown} final`);
  expect((await look()).lost).toEqual(newest);
  expect((await look(new PartTracker(client), [newest])).lost).toEqual(newest);
});

test('one replica is down, and comes back', async () => {
  await harness.add(await makeSource('down'));
  replicas.balancer.use([replicas.two.port]);
  await replicas.one.kill();
  await source.query(`update down set status = 'paid' where id <= 10`);
  await isNotParked();
  await replicas.one.start();
  replicas.balancer.use([replicas.one.port, replicas.two.port]);
  await source.query(`update down set status = 'sent' where id between 11 and 20`);
  await isNotParked();
  await bothHave('down', { new: 980, paid: 10, sent: 10 });
});

test('replicas without their ZooKeeper take nothing, and the table goes on when it is back', async () => {
  await harness.add(await makeSource('keeperless'));
  await replicas.zookeeper.kill();
  await source.query(`update keeperless set status = 'paid' where id <= 10`);
  const failure = await failureOf('keeperless');
  expect(failure).toMatchObject({ kind: 'SinkUnavailable' });
  await replicas.zookeeper.start();
  await isNotParked();
  await bothHave('keeperless', { new: 990, paid: 10 });
});
