import { afterAll, beforeAll, expect, it } from 'vitest';
import { readBacklog } from '../../src/control/backlog.js';
import { Engine } from '../../src/clickhouse/kafka-engine/engine.js';
import { engineSpec } from '../../src/clickhouse/kafka-engine/spec.js';
import { targetTable } from '../../src/domain/replicated-table.js';
import { requireKafka } from '../../src/domain/route.js';
import { Failure } from '../../src/failure/failure.js';
import { findTable } from '../../src/ledger/tables.js';
import { readStages } from '../../src/ledger/stages.js';
import type { GroupPosition } from '../../src/topic/group-source.js';
import { composeVersion } from '../../src/domain/version.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';

/*
 * ClickHouse's Kafka engine as the loader: what it loads, what it sets aside, and what starts and stops it. Every test has a
 * table of its own, and so a topic and a consumer group.
 */

let path: Path;

beforeAll(async () => {
  path = await openPath();
});
afterAll(() => path.close());

async function newTable(rows = 0): Promise<string> {
  const table = freshName('orders');
  await path.source.query(/* sql */ `create table ${table} (
    id bigint primary key, amount numeric(12, 2) not null, note text, state text not null default 'new', at timestamptz not null default now())`);
  if (rows > 0) await path.source.query(insertSql(table, 1, rows));
  return table;
}

function insertSql(table: string, first: number, last: number): string {
  return /* sql */ `insert into ${table} (id, amount, note) select i, i / 100.0, case when i % 3 = 0 then null else 'note ' || i end
    from generate_series(${first}, ${last}) i`;
}

async function addByEngine(table: string): Promise<Followed> {
  return path.add(table, { loader: 'kafka-engine' });
}

/** Sends messages as anyone could. */
async function send(
  topic: string,
  messages: readonly { key: string; value: string; headers?: Record<string, string> }[],
) {
  const producer = path.deps.kafka.producer();
  await producer.connect();
  await producer.send({ topic, messages: [...messages] });
  await producer.disconnect();
}

it('the Kafka engine brings inserts, updates and deletes, after a first load of the rows that were there', async () => {
  const table = await newTable(500);
  const orders = await addByEngine(table);
  expect(orders.receipt.stages?.map(({ activity }) => activity)).toEqual(['copyTable', 'publishSlice', 'watchEngine']);
  await orders.copy();
  await path.source.query(insertSql(table, 501, 1_500));
  await path.source.query(
    /* sql */ `update ${table} set note = e'a "quoted" \\\\ note\\n', amount = -0.01 where id % 7 = 0`,
  );
  await path.source.query(/* sql */ `delete from ${table} where id % 11 = 0`);
  expect(await orders.expectEqual()).toBe(1_500 - 136);
  expect(await orders.sink(`select count() from {errors}`)).toBe('0');
});

it('a TRUNCATE hides what came before it, and shows what comes after', async () => {
  const table = await newTable(100);
  const orders = await addByEngine(table);
  await orders.copy();
  await path.source.query(insertSql(table, 101, 300));
  await orders.settle();
  await path.source.query(/* sql */ `truncate ${table}`);
  await path.source.query(insertSql(table, 50, 60));
  expect(await orders.expectEqual()).toBe(11);
  expect(await orders.sink(`select count() from {floor} where version > toUInt128('${composeVersion(1, 0n)}')`)).toBe(
    '1',
  );
});

it('TRUNCATEs among the changes leave both sides equal', async () => {
  const table = await newTable(100);
  const orders = await addByEngine(table);
  await orders.copy();
  const user = await path.session();
  const writing = (async () => {
    for (let round = 0; round < 60; round += 1) {
      if (round % 9 === 5) await user.query(/* sql */ `truncate ${table}`);
      await user.query(insertSql(table, 1_000 + round * 100, 1_099 + round * 100));
      await user.query(/* sql */ `update ${table} set amount = amount + 1 where id % 3 = 0`);
      await user.query(/* sql */ `delete from ${table} where id % 5 = $1`, [round % 5]);
    }
  })();
  let isWriting = true;
  void writing.finally(() => (isWriting = false)).catch(() => undefined);
  while (isWriting) {
    await orders.publish();
    await orders.watch();
  }
  await writing;
  expect(await orders.expectEqual()).toBe(80);
  expect(Number(await orders.sink(`select uniqExact(version) from {floor}`))).toBeGreaterThan(1);
});

it('a slice that was frozen while it started the engine, and thaws after a stop, leaves it stopped', async () => {
  const table = await newTable();
  const orders = await addByEngine(table);
  const { deps } = path;
  const known = await findTable(deps.ledger, path.settings.pipeline, orders.name);
  if (known === undefined) throw new Error('the ledger lacks the table');
  const transport = requireKafka(known.route);
  const target = targetTable(known, 'main', (await deps.deployment()).id);
  const engine = new Engine(deps, await engineSpec(deps, target, { loader: 'main', transport }));
  let checks = 0;
  const thawed = engine.start({ 0: '0' }, () => {
    checks += 1;
    return checks === 1 ? Promise.resolve() : Promise.reject(new Failure('Fenced', { message: 'fenced' }));
  });
  await expect(thawed).rejects.toMatchObject({ kind: 'Fenced' });
  expect(checks).toBe(2);
  expect(await orders.sink(`select count() from system.tables where name = '${table}_consumer'`)).toBe('0');
});

it('what it cannot load is kept with its place, and the rest goes on', async () => {
  const table = await newTable();
  const orders = await addByEngine(table);
  await orders.copy();
  await path.source.query(insertSql(table, 1, 10));
  await orders.settle();
  const header = await lastHeader(orders);
  const version = '1329227995784916075817991871085412353';
  const row = {
    id: 1_000,
    amount: '1',
    note: null,
    state: 'new',
    at: '2020-01-01 00:00:00+00',
    _version: version,
    _deleted: 0,
  };
  await send(orders.topic, [
    { key: 'a', value: 'no json', headers: { pg2click: header } },
    { key: 'b', value: JSON.stringify(row) },
    { key: 'c', value: JSON.stringify(row), headers: { pg2click: header.replace(/^2\/[0-9a-f]{8}/u, '2/ffffffff') } },
    { key: 'd', value: JSON.stringify({ ...row, state: null }), headers: { pg2click: header } },
    { key: 'e', value: JSON.stringify({ ...row, unknown: 1 }), headers: { pg2click: header } },
    { key: 'f', value: JSON.stringify({ ...row, amount: 'one' }), headers: { pg2click: header } },
  ]);
  await path.source.query(insertSql(table, 11, 20));
  expect(await orders.expectEqual()).toBe(20);
  expect(await orders.sink(`select partition, offset, error from {errors} final order by offset`)).toMatch(
    new RegExp(
      String.raw`^0\t10\tCannot parse input.*\n0\t11\tnot ours: it has no header pg2click\n0\t12\tnot ours: its header is 2/ffffffff.*\n` +
        String.raw`0\t13\tcolumn "state" is null, or missing\n0\t14\tUnknown field.*\n0\t15\tCannot parse input`,
      'u',
    ),
  );
  expect(await orders.sink(`select raw_message from {errors} final where offset = 10`)).toBe('no json');
  const [backlog] = await readBacklog(path.deps, { pipeline: path.settings.pipeline, name: orders.name });
  expect(backlog?.stages['load:main']).toMatchObject({ waiting: 0, errors: 6 });
});

it('what it could not load last is no loss: the next slice goes on', async () => {
  const table = await newTable();
  const orders = await addByEngine(table);
  await orders.copy();
  await path.source.query(insertSql(table, 1, 10));
  await orders.settle();
  await send(orders.topic, [{ key: 'a', value: 'no json' }]);
  await orders.settle();
  expect(await orders.watch()).toMatchObject({ waiting: 0, lagSeconds: 0 });
});

it('after it was stopped it loads nothing, and a slice lets it go on where it was', async () => {
  const table = await newTable();
  const orders = await addByEngine(table);
  await orders.copy();
  await path.source.query(insertSql(table, 1, 100));
  await orders.settle();
  await orders.stop();
  await orders.stop();
  await path.source.query(insertSql(table, 101, 200));
  await orders.publish();
  const loaded = await orders.sink(`select count() from {target}`);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(await orders.sink(`select count() from {target}`)).toBe(loaded);
  expect(await orders.expectEqual()).toBe(200);
});

it('a table that is added again on its topic takes nothing of its older history', async () => {
  const table = await newTable(10);
  const before = await addByEngine(table);
  await before.copy();
  await path.source.query(insertSql(table, 11, 20));
  await before.settle();
  await before.stop();
  await path.source.query(insertSql(table, 21, 30));
  await before.publish();
  const { topic } = before;
  expect(await before.remove()).toMatchObject({ kept: [{}, {}] });
  await path.source.query(/* sql */ `delete from ${table} where id > 5`);
  const after = await path.add(table, { loader: 'kafka-engine', topic });
  expect(after.receipt.generation).toBe(before.receipt.generation + 1);
  await after.copy();
  // Of a publisher of before, which was frozen.
  const header = (await lastHeader(after)) ?? '';
  await send(topic, [{ key: 'x', value: '{"id":999,"old":1}', headers: { pg2click: header } }]);
  await path.source.query(insertSql(table, 100, 110));
  expect(await after.expectEqual()).toBe(16);
  expect(await after.sink(`select count() from {errors}`)).toBe('0');
});

it('a topic that is deleted and made again is noticed', async () => {
  const table = await newTable();
  const orders = await addByEngine(table);
  await orders.copy();
  await path.source.query(insertSql(table, 1, 100));
  await orders.settle();
  await waitFor(
    async () => {
      await orders.watch();
      const load = (await readStages(path.deps.ledger, orders.receipt.id)).find(({ stage }) => stage === 'load:main');
      return (load?.position as GroupPosition | undefined)?.seen?.offsets['0'] === '100' ? true : undefined;
    },
    { deadlineMs: 30_000, what: 'the last record is remembered' },
  );
  const admin = path.deps.kafka.admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [orders.topic] });
  await waitFor(async () => ((await admin.listTopics()).includes(orders.topic) ? undefined : true), {
    deadlineMs: 10_000,
    what: 'the topic is gone',
  });
  await admin.createTopics({ topics: [{ topic: orders.topic, numPartitions: 1 }] });
  await admin.disconnect();
  const rows = Array.from({ length: 150 }, (_, index) => ({ key: String(index), value: '{}' }));
  await send(orders.topic, rows);
  await expect(orders.watch()).rejects.toMatchObject({ kind: 'TopicReplaced' });
});

it('removing the table drops all that was made for the engine', async () => {
  const table = await newTable(5);
  const orders = await addByEngine(table);
  await orders.copy();
  await orders.settle();
  await orders.remove(true);
  const { database } = path.settings.clickhouse;
  const left = await path.deps.clickhouse.query({
    query: `select name from system.tables where database = {database:String} and startsWith(name, {table:String})`,
    query_params: { database, table },
    format: 'TabSeparated',
  });
  expect(await left.text()).toBe('');
});

it("a table of somebody else's in the way of the engine is left alone", async () => {
  const table = await newTable();
  const { database } = path.settings.clickhouse;
  await path.deps.clickhouse.command({ query: `create table ${database}.${table}_kafka (a Int8) engine = Memory` });
  await expect(addByEngine(table)).rejects.toMatchObject({ kind: 'TargetTaken' });
});

/** Header of the last message of the topic. */
async function lastHeader({ topic }: Followed): Promise<string> {
  const location = await path.deps.groups.locate(topic);
  const high = BigInt(location?.offsets['0']?.high ?? '0');
  using reading = await path.deps.reader(topic, { subscriber: 'test' }).start({ 0: String(high - 1n) });
  const fetched = await reading.take({ maxRows: 1, maxBytes: 1, waitMs: 5_000 });
  return fetched?.headers['0'] ?? '';
}
