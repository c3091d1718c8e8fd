import { afterAll, beforeAll, expect, it } from 'vitest';
import { cancelReplay, startReplay } from '../../activities/change-replays.js';
import { copyTable } from '../../activities/copy-table.js';
import { replaySlice } from '../../activities/replay-slice.js';
import { compareTable, isEqual } from '../../dev/compare/compare.js';
import { expireBefore } from '../support/kafka.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

let path: Path;
/** As `path`, with three partitions a topic. */
let wide: Path;
beforeAll(async () => {
  path = await openPath();
  wide = await openPath({ env: { KAFKA_PARTITIONS: '3' } });
});
afterAll(async () => {
  await path.close();
  await wide.close();
});

type Orders = Followed & { readonly table: string; readonly path: Path };

async function addTable(of: Path, rows: number, options: object = {}): Promise<Orders> {
  const table = freshName('orders');
  await of.source.query(/* sql */ `create table ${table} (id int primary key, note text);
    insert into ${table} select i, 'row ' || i from generate_series(1, ${rows}) i`);
  const followed = await of.add(table, options);
  await followed.copy();
  return Object.assign(followed, { table, path: of });
}

let requests = 0;
function start(orders: Orders, terms: Partial<Parameters<typeof startReplay>[1]>) {
  requests += 1;
  return orders.call(startReplay, { from: 'beginning', requestId: `request ${requests}`, running: [], ...terms });
}

/** Slices of the replay until it is done. */
async function finish(orders: Orders, stage: string, between = async () => {}): Promise<number> {
  for (let rows = 0, slices = 0; ; slices += 1) {
    if (slices > 60) throw new Error('the replay does not end');
    const receipt = await orders.slice(replaySlice, stage);
    rows += receipt.rows;
    expect(receipt.lagSeconds).toBe(0);
    if (receipt.finished) return rows;
    await between();
  }
}

async function expectTarget(orders: Orders, target: string): Promise<number> {
  const view = { database: orders.path.settings.clickhouse.database, table: `${target}_current` };
  const comparison = await compareTable({
    postgres: orders.path.source,
    clickhouse: orders.path.deps.clickhouse,
    table: orders.name,
    view,
  });
  expect(comparison, JSON.stringify(comparison.differences)).toSatisfy(isEqual);
  return comparison.equal;
}

it('a replay into the live table changes nothing that is seen, and ends at the offsets of its request', async () => {
  const orders = await addTable(path, 20);
  await path.source.query(/* sql */ `update ${orders.table} set note = 'first'`);
  await orders.settle();
  await path.source.query(/* sql */ `truncate ${orders.table}; insert into ${orders.table} values (1, 'a'), (2, 'b')`);
  await path.source.query(/* sql */ `delete from ${orders.table} where id = 2`);
  await orders.settle();
  const replay = await start(orders, {});
  expect(replay).toMatchObject({ stage: 'replay:1', loader: 'main' });
  await path.source.query(/* sql */ `update ${orders.table} set note = 'newer'`);
  await orders.settle();
  expect(await finish(orders, replay.stage)).toBeGreaterThan(20);
  expect(await orders.expectEqual()).toBe(1);
  expect(await orders.sink('select note from {current}')).toBe('newer');
  // What came after the request is not in its range.
  const { waiting } = await orders.load();
  expect(waiting).toBe(0);
});

it('a second replay of the same range is no repeat of the first, also where the user emptied the table', async () => {
  const orders = await addTable(path, 1);
  await path.source.query(/* sql */ `update ${orders.table} set note = 'only in the topic'`);
  await orders.settle();
  const first = await start(orders, {});
  await finish(orders, first.stage);
  await orders.path.deps.clickhouse.command({
    query: `alter table ${orders.table} delete where 1 settings mutations_sync = 2`,
  });
  expect(await orders.sink('select count() from {current}')).toBe('0');
  const second = await start(orders, {});
  expect(second.stage).toBe('replay:2');
  await finish(orders, second.stage);
  expect(await orders.sink('select note from {current}')).toBe('only in the topic');
});

it('a replay from a time begins with the first message of that time', async () => {
  const orders = await addTable(path, 3);
  await path.source.query(/* sql */ `update ${orders.table} set note = 'early' where id = 1`);
  await orders.settle();
  const { rows } = await path.source.query<{ at: string }>(
    `select pg_sleep(0.05), to_json(clock_timestamp())#>>'{}' as at`,
  );
  const from = new Date(rows[0]?.at ?? '').toISOString();
  await path.source.query(/* sql */ `select pg_sleep(0.05); update ${orders.table} set note = 'late' where id > 1`);
  await orders.settle();
  const { start: begin, end, stage } = await start(orders, { from });
  expect([begin, end]).toEqual([{ 0: '1' }, { 0: '3' }]);
  expect(await finish(orders, stage)).toBe(2);
  // With an end, in a table of its own, it is the topic of that time.
  const target = `${orders.table}_past`;
  const past = await start(orders, { to: from, into: target, topicOnly: true });
  expect(await finish(orders, past.stage)).toBe(1);
  expect(await orders.sink(`select id, note from ${target}_current`)).toBe('1\tearly');
});

it('with its copy a fresh table is equal, beside writers and over restarts', async () => {
  const orders = await addTable(wide, 300, { format: 'packed' });
  const { table } = orders;
  await wide.source.query(
    /* sql */ `update ${table} set note = 'once' where id % 2 = 0; delete from ${table} where id % 3 = 0`,
  );
  await orders.settle();
  await wide.source.query(/* sql */ `insert into ${table} values (1000, 'comes'), (1001, 'comes and goes')`);
  await orders.settle();
  const target = `${table}_fresh`;
  const replay = await start(orders, { into: target });
  expect(replay).toMatchObject({ end: null, stages: [{ id: `copy:${replay.stage.replace(':', '-')}` }, {}] });
  // Before its copy is done it reads on, and does not end.
  expect((await orders.slice(replaySlice, replay.stage)).finished).toBe(false);
  // The row is deleted before the copy sees the table; its tombstone is published after the copy.
  await wide.source.query(/* sql */ `delete from ${table} where id = 1001`);
  await orders.slice(copyTable, replay.stages[0]?.id ?? '');
  expect((await orders.slice(replaySlice, replay.stage)).finished).toBe(false);
  await wide.source.query(/* sql */ `update ${table} set note = 'last' where id < 10`);
  await finish(orders, replay.stage, async () => void (await orders.publish()));
  expect(await expectTarget(orders, target)).toBe(201);
  expect(await orders.expectEqual()).toBe(201);
});

it('a fresh table without a copy holds what the topic holds, and a TRUNCATE before the range hides what is older', async () => {
  const orders = await addTable(wide, 30);
  const { table } = orders;
  await wide.source.query(/* sql */ `update ${table} set note = 'old'`);
  await orders.settle();
  await wide.source.query(/* sql */ `truncate ${table}`);
  await orders.settle();
  await wide.source.query(/* sql */ `insert into ${table} values (5, 'after')`);
  await orders.settle();
  const { offsets } = (
    await wide.ledger.query<{ offsets: Record<string, string> }>(
      /* sql */ `select position -> 'offsets' as offsets from pg2click.stage where table_id = $1 and stage = 'load:main'`,
      [orders.receipt.id],
    )
  ).rows[0] ?? { offsets: {} };
  const marks = await marksOf(orders);
  // Behind the mark in its partition, at the beginning of the others, where rows of before lie.
  const from = Object.keys(offsets)
    .map((partition) => `${partition}:${marks[partition] ?? 0}`)
    .join(',');
  const target = `${table}_topic`;
  const { stage } = await start(orders, { from, into: target, topicOnly: true });
  await finish(orders, stage);
  expect(await orders.sink(`select count() from ${target} where note = 'old'`)).not.toBe('0');
  expect(await orders.sink(`select id, note from ${target}_current`)).toBe('5\tafter');
});

/** The offset behind the TRUNCATE mark, by partition. */
async function marksOf(orders: Orders): Promise<Record<string, number>> {
  const reader = orders.path.deps.reader(orders.topic, { subscriber: 'test' });
  const partitions = Object.keys((await start(orders, {})).start);
  using reading = await reader.start(Object.fromEntries(partitions.map((partition) => [partition, '0'])));
  for (const found: Record<string, number> = {}; ;) {
    // One message at a time.
    const fetched = await reading.take({ maxRows: 1, maxBytes: 1, waitMs: 1_000 });
    if (fetched === undefined) return found;
    const [[partition, { last }] = ['', { last: '' }]] = Object.entries(fetched.ranges);
    if (fetched.truncate !== undefined) found[partition] = Number(last) + 1;
  }
}

it('a range that is not there is refused with the earliest offset', async () => {
  const orders = await addTable(path, 5);
  await path.source.query(/* sql */ `update ${orders.table} set note = 'x'`);
  await orders.settle();
  await expireBefore(orders.topic, 3);
  await expect(start(orders, { from: '1' })).rejects.toMatchObject({
    kind: 'OffsetsExpired',
    message: `Kafka has deleted offsets 1 to 2 of ${orders.topic}/0: the earliest is 3.`,
  });
  await expect(start(orders, { from: '0:3,1:7' })).rejects.toMatchObject({
    message: `--from must name the 1 partitions of ${orders.topic}: 0.`,
  });
  await expect(start(orders, { from: '99' })).rejects.toMatchObject({ kind: 'Misconfigured' });
  await expect(start(orders, { from: '5', to: '4' })).rejects.toMatchObject({ kind: 'Misconfigured' });
  await expect(start(orders, { into: `${orders.table}_x`, to: '5' })).rejects.toMatchObject({
    message: '--to ends at a moment of the past, and the copy of the table is as it is now.',
  });
  await expect(start(orders, { into: orders.table })).rejects.toMatchObject({ kind: 'TargetTaken' });
  expect((await start(orders, {})).start).toEqual({ 0: '3' });
});

it('a range without a message is refused, unless a copy goes with it', async () => {
  const orders = await addTable(path, 5);
  await expect(start(orders, {})).rejects.toMatchObject({
    kind: 'Misconfigured',
    message: `No message of ${orders.topic} lies between --from beginning and its end: there is nothing to replay.`,
  });
  for (const more of [{}, { into: `${orders.table}_fresh` }])
    await expect(start(orders, { from: '2999-01-01T00:00:00Z', ...more })).rejects.toMatchObject({
      kind: 'Misconfigured',
      message: '--from 2999-01-01T00:00:00Z is in the future: no message was sent then or later.',
    });
  expect(await start(orders, { into: `${orders.table}_fresh` })).toMatchObject({ end: null });
});

it('a request that is repeated finds its replay, and one that is cancelled is fenced', async () => {
  const orders = await addTable(path, 5);
  await path.source.query(/* sql */ `update ${orders.table} set note = 'x'`);
  await orders.settle();
  const first = await start(orders, { requestId: 'mine' });
  expect(await start(orders, { requestId: 'mine' })).toEqual(first);
  await orders.call(cancelReplay, { replay: first.stage });
  await expect(orders.slice(replaySlice, first.stage)).rejects.toMatchObject({ kind: 'Fenced' });
  expect(await orders.expectEqual()).toBe(5);
});

it('a table that only grows is not copied: a fresh table is filled from the topic alone, and only if that is said', async () => {
  const table = freshName('grown');
  await path.source
    .query(/* sql */ `create table ${table} (id bigint generated always as identity primary key, note text);
    grant select on sequence ${table}_id_seq to public;
    insert into ${table} (note) select 'row' from generate_series(1, 50)`);
  const followed = await path.add(table, { capture: 'poll', transport: 'kafka' });
  const orders = Object.assign(followed, { table, path });
  await orders.expectEqual();
  const into = `${table}_again`;
  await expect(start(orders, { into })).rejects.toMatchObject({
    message: expect.stringMatching(/poll is not copied/u),
  });
  const { stage } = await start(orders, { into, topicOnly: true });
  expect(await finish(orders, stage)).toBe(50);
});
