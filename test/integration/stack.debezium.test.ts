import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from 'pg';
import { expect, it, onTestFinished } from 'vitest';
import { isEqual } from '../../dev/compare/compare.js';
import { seededRandom, type Random } from '../../dev/demo/random.js';
import type { StackAddresses } from '../../dev/stack/stack.js';
import { connectTestKafka } from '../support/kafka.js';
import { openDebezium, type Debezium } from '../support/debezium.js';
import { openHarness, type Harness } from '../support/harness.js';
import { ownStack, ownStateDir } from '../support/own-stack.js';
import { waitFor } from '../support/wait-for.js';

const WRITING_MS = 16_000;
const KILL_EVERY_MS = 4_000;
const SETTLE_MS = 90_000;
const NAME = 'inventory';
const TOPICS = [`${NAME}.public.orders`, `${NAME}.public.payments`] as const;

it('what a real Debezium writes is in ClickHouse, by a worker and by the Kafka engine, while it and the worker are killed, until it has lost something', async () => {
  const { stack } = await ownStack(ownStateDir(), ['postgres', 'kafka', 'clickhouse', 'temporal']);
  const addresses = stack.addresses as StackAddresses;
  const harness = await openHarness(addresses);
  onTestFinished(() => harness.close());
  const debezium = await openDebezium(addresses, { name: NAME, tables: ['public.orders', 'public.payments'] });
  const pg = await harness.connect();
  // The primary key has two columns, `note` is a TOAST value, and `tags` is never exact in a message: such rows are read by key.
  await pg.query(/* sql */ `
    create table orders (
      region text, id bigint, n int not null, price numeric(10,2) not null, at timestamptz not null, note text, primary key (region, id));
    alter table orders alter note set storage external;
    insert into orders select 'eu', g, g, g, now(), repeat('x', 4000) from generate_series(1, 500) g;
    create table payments (id int primary key, n bigint, price numeric(10,2) not null, at timestamptz, naive timestamp(3), day date, note text);
    alter table payments replica identity full;
    insert into payments select g, g, g, now(), now(), now(), 'first' from generate_series(1, 500) g;
    grant select on orders, payments to public`);
  await debezium.start();
  for (const topic of TOPICS) await inTopic(addresses, debezium, topic, 500);
  await harness.add({ schema: 'public', table: 'orders', capture: 'debezium', topic: TOPICS[0] });
  await harness.add({
    schema: 'public',
    table: 'payments',
    capture: 'debezium',
    topic: TOPICS[1],
    loader: 'kafka-engine',
  });

  const until = Date.now() + WRITING_MS;
  const writers = Promise.all([
    ...[1, 2, 3].map(async (seed) => write(await harness.connect(), seededRandom(seed), until, workOnOrders)),
    write(await harness.connect(), seededRandom(4), until, workOnPayments),
  ]);
  let kills = 0;
  while (Date.now() < until) {
    await pause(Math.min(KILL_EVERY_MS, until - Date.now()));
    await harness.worker.kill();
    if ((kills += 1) === 2) {
      await pg.query('truncate payments');
      await debezium.kill();
      await endReader(pg);
      await debezium.start();
    }
    await harness.worker.start();
  }
  const transactions = (await writers).reduce((sum, each) => sum + each, 0);
  debezium.requireRunning();
  for (const comparison of await harness.settle(SETTLE_MS)) {
    console.log(`${transactions} transactions, ${kills} kills: ${comparison.equal} of ${comparison.source} rows equal`);
    expect(comparison, JSON.stringify(comparison.differences)).toSatisfy(isEqual);
    expect(comparison.equal).toBeGreaterThan(0);
  }
  expect(await rowsOf(harness, 'select count() from payments where _deleted')).toBeGreaterThan(0);
  expect(await rowsOf(harness, 'select count() from payments_floor where version > 0')).toBeGreaterThan(0);
  expect(await rowsOf(harness, 'select count() from payments_errors')).toBe(0);
  expect(harness.deaths).toEqual([]);
  expect(transactions).toBeGreaterThan(100);

  // It has lost its slot, and the deletion that it would have sent.
  await debezium.kill();
  debezium.forget();
  await endReader(pg);
  const drop = async (): Promise<boolean> => {
    await pg.query(/* sql */ `select pg_drop_replication_slot($1)`, [NAME]);
    return true;
  };
  await waitFor(drop, { deadlineMs: 10_000, what: 'a slot that nobody reads', everyMs: 100 });
  await pg.query(/* sql */ `delete from orders where id = (select min(id) from orders)`);
  await debezium.start();
  await expect(harness.settle(SETTLE_MS)).rejects.toThrow(
    /^public\.orders is parked: TopicReplaced: Debezium began a new snapshot/u,
  );
}, 240_000);

/** The snapshot of Debezium is a message a row. */
async function inTopic({ kafka }: StackAddresses, debezium: Debezium, topic: string, messages: number): Promise<void> {
  const admin = connectTestKafka({ brokers: [kafka.bootstrap] }).admin();
  await admin.connect();
  try {
    const end = async (): Promise<boolean> => {
      debezium.requireRunning();
      const ends = await admin.fetchTopicOffsets(topic).catch(() => []);
      return Number(ends[0]?.high ?? 0) >= messages;
    };
    await waitFor(end, { deadlineMs: 60_000, what: `${messages} messages of Debezium`, everyMs: 250 });
  } finally {
    await admin.disconnect();
  }
}

/** PostgreSQL notices that a reader is gone when it next sends to it. */
async function endReader(pg: Client): Promise<void> {
  await pg.query(/* sql */ `select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = $1`, [
    NAME,
  ]);
}

/** @returns transactions that committed */
async function write(pg: Client, random: Random, until: number, workOn: (random: Random) => string): Promise<number> {
  let committed = 0;
  while (Date.now() < until) {
    const work = workOn(random);
    try {
      await pg.query(work);
      committed += 1;
    } catch (error) {
      // Two writers take one key, or wait for each other.
      if (!['23505', '40P01'].includes((error as { code?: string }).code ?? '')) throw error;
      await pg.query('rollback');
    }
    await pause(random.below(20));
  }
  return committed;
}

function workOnOrders(random: Random): string {
  const id = 1 + random.below(700);
  return random.pick([
    `insert into orders select 'eu', ${id}, 0, 1.5, now(), repeat('y', 4000) on conflict do nothing`,
    `update orders set n = n + 1 where id = ${id}`,
    `update orders set n = n + 1, price = price + 0.01, at = clock_timestamp() where id between ${id} and ${id + 20}`,
    `update orders set note = repeat('z', ${random.below(5_000)}) where id = ${id}`,
    `update orders set region = case region when 'eu' then 'us' else 'eu' end
        where id = ${id} and not exists (select from orders o where o.id = ${id} group by id having count(*) > 1)`,
    `delete from orders where id = ${id}`,
    `begin; delete from orders where id = ${id};
        insert into orders values ('eu', ${id}, 7, 7, now(), 'again') on conflict do nothing; commit`,
    `begin; update orders set n = 0 where id = ${id}; rollback`,
  ]);
}

function workOnPayments(random: Random): string {
  const id = 1 + random.below(700);
  return random.pick([
    `insert into payments select ${id}, 0, 1.5, now(), now(), now(), null on conflict do nothing`,
    `update payments set n = n + 1, price = -price where id between ${id} and ${id + 20}`,
    `update payments set id = id + 1000 where id = ${id} and not exists (select from payments where id = ${id + 1000})`,
    `update payments set note = repeat('z', ${random.below(9_000)}), naive = naive + interval '1 ms' where id = ${id}`,
    `delete from payments where id between ${id} and ${id + 5}`,
    `delete from payments where id > ${1000 + id}`,
  ]);
}

async function rowsOf({ clickhouse }: Harness, query: string): Promise<number> {
  const result = await clickhouse.query({ query, format: 'TabSeparated' });
  return Number(await result.text());
}
