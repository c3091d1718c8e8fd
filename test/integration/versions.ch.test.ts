import { expect, test } from 'vitest';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { composeVersion } from '../../src/domain/version.js';
import { deleteBelowFloor, writeFloor } from '../../src/clickhouse/floor.js';
import { insertValues } from '../../src/clickhouse/insert.js';
import { sinkState } from '../../src/clickhouse/state.js';
import { createTarget } from '../../src/clickhouse/target.js';
import { column, openSink, targetTableOf, rowsOf } from '../support/sink.js';
import { freshName, waitFor } from '../support/stack.js';

const sink = await openSink('versions');
const { ch, database } = sink;

interface Event {
  readonly id: number;
  readonly seq: number;
  /** Absent: the row was deleted. */
  readonly v?: string;
}

async function newTarget(): Promise<TargetTable> {
  const table = targetTableOf(sink, [column('id', 'bigint'), column('v', 'text')]);
  await createTarget(ch, table);
  return table;
}

/** One insert. */
async function load(table: TargetTable, events: readonly Event[]): Promise<void> {
  const values = events.map(({ id, seq, v }) => {
    const version = String(composeVersion(1, BigInt(seq)));
    const row = v === undefined ? { id, _version: version, _deleted: 1 } : { id, v, _version: version, _deleted: 0 };
    return Buffer.from(JSON.stringify(row));
  });
  await insertValues(ch, table, { values, token: freshName('token'), signal: new AbortController().signal });
}

const live = (table: TargetTable, settings = ''): Promise<{ id: number; v: string }[]> =>
  rowsOf(sink, `select id, v from ${database}.${table.target.table}_current order by id ${settings}`);
const stored = (table: TargetTable): Promise<{ id: number; seq: number }[]> =>
  rowsOf(
    sink,
    `select id, toUInt32(bitAnd(bitShiftRight(_version, 64), 0xffffffff)) as seq
     from ${database}.${table.target.table} order by id, seq`,
  );
const merge = (table: TargetTable): Promise<unknown> =>
  ch.command({ query: `optimize table ${database}.${table.target.table} final` });

function permutations<T>(list: readonly T[]): T[][] {
  if (list.length < 2) return [[...list]];
  return list.flatMap((first, index) => permutations(list.toSpliced(index, 1)).map((rest) => [first, ...rest]));
}

/** The history of one key: inserted, changed, deleted, inserted again. */
const HISTORY = [{ seq: 1, v: 'first' }, { seq: 2, v: 'second' }, { seq: 3 }, { seq: 4, v: 'again' }];

test('in whatever order events arrive, each twice, the highest version so far is what shows', async () => {
  const table = await newTarget();
  // One key an order: all orders arrive side by side.
  const orders = permutations(HISTORY);
  for (let step = 0; step < HISTORY.length; step += 1) {
    const events = orders.flatMap((order, id) => [{ id, ...order[step]! }]);
    await load(table, events);
    await load(table, events.toReversed());
    const expected = orders.flatMap((order, id) => {
      const newest = order.slice(0, step + 1).toSorted((a, b) => b.seq - a.seq)[0];
      return newest?.v === undefined ? [] : [{ id, v: newest.v }];
    });
    expect(await live(table)).toEqual(expected);
    if (step % 2 === 1) await merge(table);
    expect(await live(table)).toEqual(expected);
  }
});

test('the versions of one key in one insert are settled as if they had come one by one', async () => {
  const table = await newTarget();
  const orders = permutations(HISTORY.slice(0, 3));
  await load(
    table,
    orders.flatMap((order, id) => order.map((event) => ({ id, ...event }))),
  );
  expect(await live(table)).toEqual([]);
  await load(
    table,
    orders.map((_order, id) => ({ id, seq: 2, v: 'late' })),
  );
  expect(await live(table)).toEqual([]);
  await load(
    table,
    orders.map((_order, id) => ({ id, seq: 4, v: 'again' })),
  );
  expect(await live(table)).toEqual(orders.map((_order, id) => ({ id, v: 'again' })));
});

test('a tombstone outlives merges, so a row that comes late stays deleted', async () => {
  const table = await newTarget();
  await load(table, [{ id: 1, seq: 5, v: 'old' }]);
  await load(table, [{ id: 1, seq: 9 }]);
  await merge(table);
  expect(await stored(table)).toEqual([{ id: 1, seq: 9 }]);
  await load(table, [{ id: 1, seq: 5, v: 'old' }]);
  expect(await live(table)).toEqual([]);
  await merge(table);
  expect(await live(table)).toEqual([]);
});

test('the view shows what it should also where conditions are moved before the merge', async () => {
  const table = await newTarget();
  await ch.command({ query: `system stop merges ${database}.${table.target.table}` });
  await load(table, [
    { id: 1, seq: 5, v: 'old' },
    { id: 2, seq: 6, v: 'stays' },
  ]);
  await load(table, [{ id: 1, seq: 9 }]);
  await load(table, [{ id: 2, seq: 7, v: 'newer' }]);
  expect(await live(table, 'settings optimize_move_to_prewhere_if_final = 1')).toEqual([{ id: 2, v: 'newer' }]);
  expect(
    await rowsOf(sink, `select id from ${database}.${table.target.table}_current where v in ('old', 'stays')`),
  ).toEqual([]);
});

test('a floor hides what is at or below it, whenever that comes, and nothing above', async () => {
  const table = await newTarget();
  await load(table, [
    { id: 1, seq: 5, v: 'below' },
    { id: 2, seq: 10, v: 'at' },
    { id: 3, seq: 11, v: 'above' },
  ]);
  expect(await live(table)).toHaveLength(3);
  await writeFloor(ch, table, composeVersion(1, 10n));
  const above = [{ id: 3, v: 'above' }];
  expect(await live(table)).toEqual(above);
  await load(table, [
    { id: 1, seq: 6, v: 'late' },
    { id: 4, seq: 9, v: 'late' },
    { id: 3, seq: 4, v: 'late' },
  ]);
  expect(await live(table)).toEqual(above);
  await load(table, [{ id: 1, seq: 12, v: 'new' }]);
  expect(await live(table)).toEqual([{ id: 1, v: 'new' }, ...above]);
});

test('the highest floor counts, in whatever order and however often floors are written', async () => {
  const table = await newTarget();
  await load(table, [
    { id: 1, seq: 5, v: 'a' },
    { id: 2, seq: 15, v: 'b' },
  ]);
  for (const seq of [10n, 3n, 10n, 7n]) await writeFloor(ch, table, composeVersion(1, seq));
  expect(await live(table)).toEqual([{ id: 2, v: 'b' }]);
  await writeFloor(ch, table, composeVersion(2, 1n));
  expect(await live(table), 'a newer generation is above all').toEqual([]);
  expect(await sinkState(ch, table.target)).toEqual({ exists: true, highest: composeVersion(2, 1n) });
});

test('what a floor hides is removed, what is above stays, tombstones too, and what comes late stays hidden', async () => {
  const table = await newTarget();
  await load(table, [
    { id: 1, seq: 5, v: 'below' },
    { id: 2, seq: 6 },
    { id: 3, seq: 7, v: 'old' },
    { id: 4, seq: 8, v: 'old' },
  ]);
  await load(table, [
    { id: 3, seq: 11, v: 'above' },
    { id: 4, seq: 12 },
  ]);
  await writeFloor(ch, table, composeVersion(1, 10n));
  await deleteBelowFloor(ch, table);
  await waitFor(
    async (see) => {
      const rows = await stored(table);
      see(rows);
      return rows.every(({ seq }) => seq > 10);
    },
    { deadlineMs: 20_000, what: 'the truncated rows to be removed' },
  );
  expect(await stored(table)).toEqual([
    { id: 3, seq: 11 },
    { id: 4, seq: 12 },
  ]);
  await load(table, [
    { id: 1, seq: 5, v: 'below' },
    { id: 4, seq: 8, v: 'old' },
  ]);
  expect(await live(table)).toEqual([{ id: 3, v: 'above' }]);
});

test('nothing is rewritten where a floor hides nothing', async () => {
  const table = await newTarget();
  await load(table, [{ id: 1, seq: 5, v: 'a' }]);
  await deleteBelowFloor(ch, table);
  await writeFloor(ch, table, composeVersion(1, 4n));
  await deleteBelowFloor(ch, table);
  expect(
    await rowsOf(
      sink,
      `select mutation_id from system.mutations where database = '${database}' and table = '${table.target.table}'`,
    ),
  ).toEqual([]);
  expect(await live(table)).toEqual([{ id: 1, v: 'a' }]);
});
