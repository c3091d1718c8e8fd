import { createClient, type ClickHouseClient } from '@clickhouse/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { addLoader, removeLoader } from '../../activities/change-loaders.js';
import { copyTable } from '../../activities/copy-table.js';
import { loadSlice } from '../../activities/load-slice.js';
import { compareTable, isEqual, type Comparison } from '../../dev/compare/compare.js';
import { clickhouseOptions } from '../support/clients.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, freshSink } from '../support/stack.js';

let path: Path;
/** Another database, as another server. */
let elsewhere: Awaited<ReturnType<typeof freshSink>>;
let other: ClickHouseClient;

beforeAll(async () => {
  elsewhere = await freshSink('elsewhere');
  const { url, user, password, database } = elsewhere;
  const there = new URL(url);
  there.username = user;
  there.pathname = database;
  path = await openPath({ env: { CH_URL_OTHER: there.href, CH_PASSWORD_OTHER: password } });
  other = createClient({ ...clickhouseOptions(elsewhere), database });
});
afterAll(async () => {
  await path.close();
  await other.close();
});

async function addTable(rows: number): Promise<Followed & { readonly table: string }> {
  const table = freshName('orders');
  await path.source.query(/* sql */ `create table ${table} (id int primary key, note text);
    insert into ${table} select i, 'row ' || i from generate_series(1, ${rows}) i`);
  const followed = await path.add(table);
  await followed.copy();
  return Object.assign(followed, { table });
}

function compareWith(followed: Followed, database: string, table: string): Promise<Comparison> {
  const view = { database, table: `${table}_current` };
  return compareTable({ postgres: path.source, clickhouse: path.deps.clickhouse, table: followed.name, view });
}

async function expectEqual(followed: Followed, database: string, table: string): Promise<number> {
  const comparison = await compareWith(followed, database, table);
  expect(comparison, JSON.stringify(comparison.differences)).toSatisfy(isEqual);
  return comparison.equal;
}

/** Until the stage has nothing left. */
async function drain(followed: Followed, stage: string): Promise<void> {
  for (;;) {
    const { batches, waiting } = await followed.slice(loadSlice, stage);
    if (batches + waiting === 0) return;
  }
}

async function stagesOfTable(followed: Followed): Promise<string[]> {
  const found = await path.ledger.query<{ stage: string }>(
    /* sql */ `select stage from pg2click.stage where table_id = $1 order by stage`,
    [followed.receipt.id],
  );
  return found.rows.map(({ stage }) => stage);
}

it('a loader that is added to a live table gets what was there, what changes meanwhile, and what comes later', async () => {
  const { table, ...orders } = await addTable(500);
  await path.source.query(/* sql */ `update ${table} set note = 'before' where id <= 100`);
  await orders.publish();
  const { prepared } = await orders.call(addLoader, { loader: { name: 'other', connection: 'other' } });
  expect(prepared.stages?.map(({ id }) => id)).toEqual(['copy', 'copy:other', 'publish', 'load:main', 'load:other']);
  await path.source.query(/* sql */ `update ${table} set note = 'meanwhile' where id between 50 and 150;
    delete from ${table} where id > 450`);
  await orders.publish();
  await drain(orders, 'load:other');
  expect((await orders.slice(copyTable, 'copy:other')).rows).toBe(450);
  await path.source.query(/* sql */ `insert into ${table} values (1000, 'later'); delete from ${table} where id = 1`);
  expect(await orders.expectEqual()).toBe(450);
  await drain(orders, 'load:other');
  expect(await expectEqual(orders, elsewhere.database, table)).toBe(450);
  // The rows of the other database are not in the first one.
  expect(
    await orders.sink(`select count() from system.tables where name = '${table}' and database = currentDatabase()`),
  ).toBe('1');
});

it('a loader that stands still does not hold up another, and has all of it once it goes on', async () => {
  const { table, ...orders } = await addTable(50);
  const target = `${table}_second`;
  await orders.call(addLoader, { loader: { name: 'second', target } });
  await orders.slice(copyTable, 'copy:second');
  await path.source.query(
    /* sql */ `update ${table} set note = 'paused' where id <= 20; delete from ${table} where id = 50`,
  );
  expect(await orders.expectEqual()).toBe(49);
  const { database } = path.settings.clickhouse;
  expect(await compareWith(orders, database, target)).not.toSatisfy(isEqual);
  await path.source.query(/* sql */ `truncate ${table}; insert into ${table} values (7, 'after')`);
  expect(await orders.expectEqual()).toBe(1);
  await drain(orders, 'load:second');
  expect(await expectEqual(orders, database, target)).toBe(1);
});

it('a target that another loader has is refused, of the same table and of another', async () => {
  const orders = await addTable(3);
  const second = await addTable(3);
  const { database } = path.settings.clickhouse;
  await expect(orders.call(addLoader, { loader: { name: 'again', target: orders.table } })).rejects.toMatchObject({
    kind: 'TargetTaken',
    message: `Loader main already writes to ${database}.${orders.table}.`,
  });
  // By another name of the same server, too.
  await expect(
    orders.call(addLoader, { loader: { name: 'again', connection: 'other', target: `${database}.${orders.table}` } }),
  ).rejects.toMatchObject({
    kind: 'TargetTaken',
    message: `Loader main already writes to ${database}.${orders.table}.`,
  });
  await expect(orders.call(addLoader, { loader: { name: 'again', target: second.table } })).rejects.toMatchObject({
    kind: 'TargetTaken',
  });
  const taken = freshName('taken');
  await orders.call(addLoader, { loader: { name: 'fine', target: taken } });
  await expect(path.add(second.table, { target: taken })).resolves.toBeDefined();
  expect(await stagesOfTable(orders)).toEqual(['copy', 'copy:fine', 'load:fine', 'load:main', 'publish']);
  const third = freshName('orders');
  await path.source.query(/* sql */ `create table ${third} (id int primary key)`);
  await expect(path.add(third, { target: taken })).rejects.toMatchObject({
    kind: 'TargetTaken',
    message: expect.stringContaining(`is that of public.${orders.table}`) as unknown,
  });
  await expect(orders.call(addLoader, { loader: { name: 'x', connection: 'nowhere' } })).rejects.toMatchObject({
    kind: 'WrongWorker',
    message: expect.stringContaining('CH_URL_NOWHERE') as unknown,
  });
});

it('a loader that is removed leaves the others, the topic and, unless asked, its target', async () => {
  const { table, ...orders } = await addTable(10);
  const { database } = path.settings.clickhouse;
  const [kept, dropped] = [`${table}_kept`, `${table}_dropped`];
  for (const target of [kept, dropped]) {
    const name = target.split('_').at(-1) ?? '';
    await orders.call(addLoader, { loader: { name, target } });
    await orders.slice(copyTable, `copy:${name}`);
  }
  expect((await orders.call(removeLoader, { name: 'kept', dropTarget: false })).kept).toEqual([
    { name: `${database}.${kept}`, why: 'its removal was not asked for' },
  ]);
  expect((await orders.call(removeLoader, { name: 'dropped', dropTarget: true })).dropped).toContain(
    `${database}.${dropped}`,
  );
  await path.source.query(/* sql */ `update ${table} set note = 'still'`);
  expect(await orders.expectEqual()).toBe(10);
  expect(await stagesOfTable(orders)).toEqual(['copy', 'load:main', 'publish']);
  expect(await orders.sink(`select count() from ${kept}_current`)).toBe('10');
  await expect(orders.call(removeLoader, { name: 'main', dropTarget: false })).rejects.toMatchObject({
    message: `main is the only loader of public.${table}.`,
  });

  // The name is free again, and what an attempt of before still holds is fenced.
  await path.source.query(/* sql */ `delete from ${table} where id > 5`);
  await orders.settle();
  await orders.call(addLoader, { loader: { name: 'kept', target: kept } });
  await orders.slice(copyTable, 'copy:kept');
  expect(await expectEqual(orders, database, kept)).toBe(5);
  const epoch = await path.ledger.query<{ epoch: string }>(
    /* sql */ `select epoch::text from pg2click.stage where table_id = $1 and stage = 'load:kept'`,
    [orders.receipt.id],
  );
  expect(BigInt(epoch.rows[0]?.epoch ?? 0)).toBeGreaterThan(1n << 32n);

  await orders.call(removeLoader, { name: 'main', dropTarget: false });
  await path.source.query(/* sql */ `insert into ${table} values (77, 'without main')`);
  await orders.publish();
  await drain(orders, 'load:kept');
  expect(await expectEqual(orders, database, kept)).toBe(6);
});
