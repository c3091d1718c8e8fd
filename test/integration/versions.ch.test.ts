import { expect, test } from 'vitest';
import type { Replica } from '../../src/domain/replica.js';
import { composeVersion } from '../../src/domain/version.js';
import { deleteBelowFloor, writeFloor } from '../../src/sink/floor.js';
import { insertValues } from '../../src/sink/insert.js';
import { sinkState } from '../../src/sink/state.js';
import { createTarget } from '../../src/sink/target.js';
import { column, openSink, replicaOf, rowsOf } from '../support/sink.js';
import { freshName, waitFor } from '../support/stack.js';

const sink = await openSink('versions');
const { ch, database } = sink;

interface Event {
  readonly id: number;
  readonly seq: number;
  /** Absent: the row was deleted. */
  readonly v?: string;
}

async function newTarget(): Promise<Replica> {
  const replica = replicaOf(sink, [column('id', 'bigint'), column('v', 'text')]);
  await createTarget(ch, replica);
  return replica;
}

/** One insert. */
async function load(replica: Replica, events: readonly Event[]): Promise<void> {
  const values = events.map(({ id, seq, v }) => {
    const version = String(composeVersion(1, BigInt(seq)));
    const row = v === undefined ? { id, _version: version, _deleted: 1 } : { id, v, _version: version, _deleted: 0 };
    return Buffer.from(JSON.stringify(row));
  });
  await insertValues(ch, replica, { values, token: freshName('token'), signal: new AbortController().signal });
}

const live = (replica: Replica, settings = ''): Promise<{ id: number; v: string }[]> =>
  rowsOf(sink, `select id, v from ${database}.${replica.target.table}_current order by id ${settings}`);
const stored = (replica: Replica): Promise<{ id: number; seq: number }[]> =>
  rowsOf(
    sink,
    `select id, toUInt32(bitAnd(bitShiftRight(_version, 64), 0xffffffff)) as seq
     from ${database}.${replica.target.table} order by id, seq`,
  );
const merge = (replica: Replica): Promise<unknown> =>
  ch.command({ query: `optimize table ${database}.${replica.target.table} final` });

function permutations<T>(list: readonly T[]): T[][] {
  if (list.length < 2) return [[...list]];
  return list.flatMap((first, index) => permutations(list.toSpliced(index, 1)).map((rest) => [first, ...rest]));
}

/** The history of one key: inserted, changed, deleted, inserted again. */
const HISTORY = [{ seq: 1, v: 'first' }, { seq: 2, v: 'second' }, { seq: 3 }, { seq: 4, v: 'again' }];

test('in whatever order events arrive, each twice, the highest version so far is what shows', async () => {
  const replica = await newTarget();
  // One key an order: all orders arrive side by side.
  const orders = permutations(HISTORY);
  for (let step = 0; step < HISTORY.length; step += 1) {
    const events = orders.flatMap((order, id) => [{ id, ...order[step]! }]);
    await load(replica, events);
    await load(replica, events.toReversed());
    const expected = orders.flatMap((order, id) => {
      const newest = order.slice(0, step + 1).toSorted((a, b) => b.seq - a.seq)[0];
      return newest?.v === undefined ? [] : [{ id, v: newest.v }];
    });
    expect(await live(replica)).toEqual(expected);
    if (step % 2 === 1) await merge(replica);
    expect(await live(replica)).toEqual(expected);
  }
});

test('the versions of one key in one insert are settled as if they had come one by one', async () => {
  const replica = await newTarget();
  const orders = permutations(HISTORY.slice(0, 3));
  await load(
    replica,
    orders.flatMap((order, id) => order.map((event) => ({ id, ...event }))),
  );
  expect(await live(replica)).toEqual([]);
  await load(
    replica,
    orders.map((_order, id) => ({ id, seq: 2, v: 'late' })),
  );
  expect(await live(replica)).toEqual([]);
  await load(
    replica,
    orders.map((_order, id) => ({ id, seq: 4, v: 'again' })),
  );
  expect(await live(replica)).toEqual(orders.map((_order, id) => ({ id, v: 'again' })));
});

test('a tombstone outlives merges, so a row that comes late stays deleted', async () => {
  const replica = await newTarget();
  await load(replica, [{ id: 1, seq: 5, v: 'old' }]);
  await load(replica, [{ id: 1, seq: 9 }]);
  await merge(replica);
  expect(await stored(replica)).toEqual([{ id: 1, seq: 9 }]);
  await load(replica, [{ id: 1, seq: 5, v: 'old' }]);
  expect(await live(replica)).toEqual([]);
  await merge(replica);
  expect(await live(replica)).toEqual([]);
});

test('the view shows what it should also where conditions are moved before the merge', async () => {
  const replica = await newTarget();
  await ch.command({ query: `system stop merges ${database}.${replica.target.table}` });
  await load(replica, [
    { id: 1, seq: 5, v: 'old' },
    { id: 2, seq: 6, v: 'stays' },
  ]);
  await load(replica, [{ id: 1, seq: 9 }]);
  await load(replica, [{ id: 2, seq: 7, v: 'newer' }]);
  expect(await live(replica, 'settings optimize_move_to_prewhere_if_final = 1')).toEqual([{ id: 2, v: 'newer' }]);
  expect(
    await rowsOf(sink, `select id from ${database}.${replica.target.table}_current where v in ('old', 'stays')`),
  ).toEqual([]);
});

test('a floor hides what is at or below it, whenever that comes, and nothing above', async () => {
  const replica = await newTarget();
  await load(replica, [
    { id: 1, seq: 5, v: 'below' },
    { id: 2, seq: 10, v: 'at' },
    { id: 3, seq: 11, v: 'above' },
  ]);
  expect(await live(replica)).toHaveLength(3);
  await writeFloor(ch, replica, composeVersion(1, 10n));
  const above = [{ id: 3, v: 'above' }];
  expect(await live(replica)).toEqual(above);
  await load(replica, [
    { id: 1, seq: 6, v: 'late' },
    { id: 4, seq: 9, v: 'late' },
    { id: 3, seq: 4, v: 'late' },
  ]);
  expect(await live(replica)).toEqual(above);
  await load(replica, [{ id: 1, seq: 12, v: 'new' }]);
  expect(await live(replica)).toEqual([{ id: 1, v: 'new' }, ...above]);
});

test('the highest floor counts, in whatever order and however often floors are written', async () => {
  const replica = await newTarget();
  await load(replica, [
    { id: 1, seq: 5, v: 'a' },
    { id: 2, seq: 15, v: 'b' },
  ]);
  for (const seq of [10n, 3n, 10n, 7n]) await writeFloor(ch, replica, composeVersion(1, seq));
  expect(await live(replica)).toEqual([{ id: 2, v: 'b' }]);
  await writeFloor(ch, replica, composeVersion(2, 1n));
  expect(await live(replica), 'a newer generation is above all').toEqual([]);
  expect(await sinkState(ch, replica.target)).toEqual({ exists: true, highest: composeVersion(2, 1n) });
});

test('what a floor hides is removed, what is above stays, tombstones too, and what comes late stays hidden', async () => {
  const replica = await newTarget();
  await load(replica, [
    { id: 1, seq: 5, v: 'below' },
    { id: 2, seq: 6 },
    { id: 3, seq: 7, v: 'old' },
    { id: 4, seq: 8, v: 'old' },
  ]);
  await load(replica, [
    { id: 3, seq: 11, v: 'above' },
    { id: 4, seq: 12 },
  ]);
  await writeFloor(ch, replica, composeVersion(1, 10n));
  await deleteBelowFloor(ch, replica);
  await waitFor(
    async (see) => {
      const rows = await stored(replica);
      see(rows);
      return rows.every(({ seq }) => seq > 10);
    },
    { deadlineMs: 20_000, what: 'the truncated rows to be removed' },
  );
  expect(await stored(replica)).toEqual([
    { id: 3, seq: 11 },
    { id: 4, seq: 12 },
  ]);
  await load(replica, [
    { id: 1, seq: 5, v: 'below' },
    { id: 4, seq: 8, v: 'old' },
  ]);
  expect(await live(replica)).toEqual([{ id: 3, v: 'above' }]);
});

test('nothing is rewritten where a floor hides nothing', async () => {
  const replica = await newTarget();
  await load(replica, [{ id: 1, seq: 5, v: 'a' }]);
  await deleteBelowFloor(ch, replica);
  await writeFloor(ch, replica, composeVersion(1, 4n));
  await deleteBelowFloor(ch, replica);
  expect(
    await rowsOf(
      sink,
      `select mutation_id from system.mutations where database = '${database}' and table = '${replica.target.table}'`,
    ),
  ).toEqual([]);
  expect(await live(replica)).toEqual([{ id: 1, v: 'a' }]);
});
