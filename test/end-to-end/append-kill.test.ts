import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openHarness, type Harness } from '../support/harness.js';
import { proxied, type Proxies } from '../../dev/network/proxied.js';
import { addressOf, freshDatabase, freshSink, waitFor } from '../support/stack.js';

const figure = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);

const ROWS = figure('PG2CLICK_APPEND_ROWS', 200_000);
const KILL_EVERY_MS = 2_000;
/** A dead worker is missed after 10 s, and a new one needs seconds to begin. */
const AIM_MS = 40_000;
/** Slow enough that kills fall into the flow of rows, and not only after it. */
const ROWS_A_TRANSACTION = 250;
const PAUSE_MS = 100;
const WRITERS = 2;
const SETTLE_MS = 120_000;
/** Heartbeats are missed after 10 s; a frozen worker's open poll may swallow the second attempt. */
const TAKE_OVER_MS = 60_000;

let harness: Harness;
let proxies: Proxies;
let pg: Client;
const [SUMMED, REMEMBERED] = [
  { schema: 'public', table: 'summed' },
  { schema: 'public', table: 'remembered' },
];

beforeAll(async () => {
  const addresses = {
    postgres: await freshDatabase('append'),
    kafka: addressOf('kafka'),
    clickhouse: await freshSink('append'),
    temporal: addressOf('temporal'),
  };
  const through = await proxied(addresses);
  proxies = through.proxies;
  harness = await openHarness(addresses, through.addresses);
  pg = await harness.connect();
  await pg.query(
    `do $$ begin execute format('alter default privileges grant select on sequences to %I', '${harness.environment['PG_USER']}'); end $$`,
  );
  for (const { table } of [SUMMED, REMEMBERED])
    await pg.query(`create table ${table} (id bigserial primary key, amount bigint not null)`);
});
afterAll(async () => {
  await harness?.close();
  for (const proxy of Object.values(proxies ?? {})) await proxy.close();
});

const sink = async (query: string): Promise<string> => {
  const result = await harness.clickhouse.query({ query, format: 'TabSeparated' });
  return (await result.text()).trim();
};
const source = async (table: string): Promise<string> => {
  const { rows } = await pg.query<{ text: string }>(
    `select count(*) || E'\\t' || coalesce(sum(amount), 0) as text from ${table}`,
  );
  return rows[0]?.text ?? '';
};
/** A row more or less is wrong, and stays wrong: what is too much never goes away. */
const expectExact = async (query: string, table: string): Promise<void> => {
  const expected = await source(table);
  await waitFor(async () => Number((await sink(query)).split('\t')[0]) >= Number(expected.split('\t')[0]), {
    deadlineMs: SETTLE_MS,
    what: `all rows of ${table}`,
    everyMs: 500,
  });
  expect(await sink(query)).toBe(expected);
};

it(
  `brings ${ROWS} rows into a plain MergeTree and a view that sums them, each once, with kill -9 every ${KILL_EVERY_MS} ms`,
  async () => {
    await harness.clickhouse.command({
      query: `create table sums (bucket Int64, n UInt64, total Int64) engine = SummingMergeTree order by bucket
        settings non_replicated_deduplication_window = 1000`,
    });
    await harness.add({ ...SUMMED, capture: 'poll', engine: 'merge-tree' });
    await harness.clickhouse.command({
      query: `create materialized view summing to sums as
        select id % 7 as bucket, count() as n, sum(amount) as total from summed group by bucket`,
    });
    // Seen before the first batch that reaches it.
    await harness.worker.kill();
    await harness.worker.start();

    let written = 0;
    const write = async (writer: number): Promise<void> => {
      const client = await harness.connect();
      while (written < ROWS) {
        written += ROWS_A_TRANSACTION;
        await client.query(
          `insert into summed (amount) select (n * 7919 + ${writer}) % 1000 from generate_series(1, ${ROWS_A_TRANSACTION}) n`,
        );
        await sleep(PAUSE_MS * (200_000 / ROWS));
      }
    };
    let writing = true;
    const writers = Promise.all(Array.from({ length: WRITERS }, (_, n) => write(n))).finally(() => (writing = false));
    let kills = 0;
    let repeats = 0;
    const isPending = async (): Promise<boolean> =>
      (await pg.query(`select from pg2click.stage where stage = 'direct:main' and pending is not null`)).rowCount === 1;
    while (writing) {
      await Promise.race([writers, sleep(KILL_EVERY_MS)]);
      // Most kills hit a worker that has not begun yet: each second one waits for a batch.
      const deadline = Date.now() + (kills % 2 === 0 ? 0 : AIM_MS);
      while (writing && Date.now() < deadline && !(await isPending())) await sleep(5);
      await harness.worker.kill();
      kills += 1;
      if (await isPending()) repeats += 1;
      await harness.worker.start();
    }
    await writers;
    await expectExact('select count(), sum(amount) from summed', 'summed');
    await expectExact('select sum(n), sum(total) from sums', 'summed');
    expect(await sink('select count() - uniqExact(id) from summed')).toBe('0');
    const parts = await sink(
      `select count() from system.parts where table = 'summed' and database = currentDatabase()`,
    );
    console.log(JSON.stringify({ appendKillLoop: { rows: ROWS, kills, repeats, parts } }));
    expect(kills).toBeGreaterThan(1);
    expect(repeats).toBeGreaterThan(0);
    expect(harness.deaths).toEqual([]);
  },
  300_000 + SETTLE_MS,
);

it('inserts nothing late: frozen with a batch on its way, where the target remembers one block, another worker takes over', async () => {
  await harness.clickhouse.command({
    query: `create table remembered (id Int64, amount Int64) engine = MergeTree order by id
        settings non_replicated_deduplication_window = 1`,
  });
  await harness.add({ ...REMEMBERED, capture: 'poll', engine: 'merge-tree', sliceMs: 15_000 });
  const second = await harness.startWorker();
  const fill = (): Promise<unknown> =>
    pg.query('insert into remembered (amount) select n from generate_series(1, 2000) n');
  const owner = async (): Promise<number> => {
    const { rows } = await pg.query<{ owner: string; pending: boolean }>(
      `select s.owner, s.pending is not null as pending from pg2click.stage s join pg2click.replicated_table t on t.id = s.table_id
         where t.table_name = 'remembered' and s.stage = 'direct:main'`,
    );
    return Number(rows[0]?.owner.split('/').at(-1));
  };
  const pending = async (): Promise<boolean> => {
    const { rows } = await pg.query(
      `select from pg2click.stage s join pg2click.replicated_table t on t.id = s.table_id
         where t.table_name = 'remembered' and s.pending is not null`,
    );
    return rows.length > 0;
  };
  await second.kill();
  await waitFor(async () => (await owner()) === harness.worker.pid, {
    deadlineMs: TAKE_OVER_MS,
    what: 'the first worker to have the table',
  });
  await second.start();
  await fill();
  await expectExact('select count(), sum(amount) from remembered', 'remembered');
  // The insert leaves the worker, and does not arrive.
  proxies.clickhouse.freeze();
  await fill();
  await waitFor(pending, { deadlineMs: 20_000, what: 'a named batch' });
  await sleep(500);
  process.kill(harness.worker.pid ?? 0, 'SIGSTOP');
  await waitFor(async () => (await owner()) === second.pid, {
    deadlineMs: TAKE_OVER_MS,
    what: 'the second worker to take over',
  });
  await fill();
  await expectExact('select count(), sum(amount) from remembered', 'remembered');
  await proxies.clickhouse.pass();
  process.kill(harness.worker.pid ?? 0, 'SIGCONT');
  await sleep(3_000);
  await fill();
  await expectExact('select count(), sum(amount) from remembered', 'remembered');
  await sleep(2_000);
  expect(await sink('select count() - uniqExact(id) from remembered')).toBe('0');
}, 240_000);
