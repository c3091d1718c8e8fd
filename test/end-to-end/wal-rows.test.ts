import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { giveRows } from '../../src/source/wal/give-rows.js';
import { PendingChanges } from '../../src/source/wal/pending-changes.js';
import { HandOver } from '../../src/source/wal/rows/hand-over.js';
import { RowPlaces, type RowPlan } from '../../src/source/wal/rows/row-plan.js';
import { TEXT, Tuple } from '../../src/source/wal/tuple.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';

const STORM_MS = 6_000;
const WAYS = [
  ['direct', { capture: 'wal', transport: 'direct' }],
  ['as JSON', { capture: 'wal' }],
  ['packed', { capture: 'wal', format: 'packed' }],
] as const;

/** Rows that go from the WAL to their stage in memory, with no key in the outbox. */
describe('rows of the WAL', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath({ wal: true });
    // Holds the slot while other tables come and go.
    await path.source.query('create table first (id int primary key)');
    await path.add('first', { capture: 'wal', transport: 'direct' });
  });
  afterAll(() => path.close());

  const keysOf = async ({ receipt }: Followed): Promise<number> => {
    const found = await path.source.query<{ keys: string }>(
      `select pg_stat_get_tuples_inserted('pg2click.outbox_${receipt.id}'::regclass)::text as keys`,
    );
    return Number(found.rows[0]?.keys);
  };

  it.each(WAYS)('arrive without a key in the outbox: %s', async (_, way) => {
    const table = freshName('rows');
    await path.source.query(`create table ${table} (id int primary key, v text, n numeric(10,2), at timestamptz)`);
    const followed = await path.add(table, way);
    await followed.copy();
    await path.source.query(`insert into ${table} select i, 'a', i, now() from generate_series(1, 10) i`);
    await followed.settle();
    let isOver = false;
    const moving = (async () => {
      while (!isOver)
        await (way.capture === 'wal' && 'transport' in way ? followed.direct({}, 5_000) : followed.publish({}, 5_000));
    })();
    const [before, from] = [await keysOf(followed), Date.now()];
    let changes = 0;
    // Statistics are written now and then.
    while (Date.now() - from < 4_000) {
      await path.source.query(`update ${table} set v = v || 'b', n = n + 1 where id = ${1 + (changes % 10)};
        insert into ${table} values (${100 + changes}, E'\\t\\\\', 0.5, null); delete from ${table} where id = ${100 + changes - 5}`);
      changes += 1;
      await sleep(10);
    }
    isOver = true;
    await moving;
    expect(await followed.expectEqual()).toBe(15);
    await path.source.query('select pg_stat_force_next_flush()');
    const keys = (await keysOf(followed)) - before;
    console.log(`${changes} transactions of 3 changes, ${keys} keys`);
    expect(keys).toBeLessThan(changes);
  });

  it('have the columns of their time while these are added, dropped, renamed, and added again', async () => {
    const table = freshName('rows');
    await path.source.query(`create table ${table} (id int primary key, a int, b text);
      insert into ${table} select i, i, 'x' from generate_series(1, 2000) i`);
    const followed = await path.add(table, { capture: 'wal', transport: 'direct' });
    await followed.copy();
    const until = Date.now() + STORM_MS;
    const write = async (pg: Client, turn: number): Promise<void> => {
      for (let n = turn; Date.now() < until; n += 2) {
        const at = (n * 37) % 1_900;
        await pg.query(`update ${table} set a = a + 1 where id between ${at} and ${at + 20};
          insert into ${table} (id, a) values (${10_000 + n}, 0)`);
      }
    };
    const alter = async (pg: Client): Promise<void> => {
      for (let n = 0; Date.now() < until; n++) {
        await sleep(300);
        await pg.query(`alter table ${table} add column c int default ${n}; update ${table} set c = id where id < 500`);
        await sleep(200);
        // The stream describes the table as before.
        await pg.query(
          `begin; alter table ${table} drop column b; alter table ${table} add column b text default 'n${n}'; commit`,
        );
        await pg.query(`update ${table} set b = 'w${n}' where id % 7 = 0`);
        await sleep(200);
        await pg.query(`alter table ${table} drop column c`);
      }
    };
    const sessions = await Promise.all([path.session(), path.session(), path.session()]);
    const storm = Promise.all([
      write(sessions[0] as Client, 0),
      write(sessions[1] as Client, 1),
      alter(sessions[2] as Client),
    ]);
    while (Date.now() < until) await followed.direct({}, 1_000);
    await storm;
    expect(await followed.expectEqual()).toBeGreaterThan(2_000);
  });

  it('that a stage does not confirm go by key, also where it has them', async () => {
    const table = freshName('rows');
    await path.source.query(`create table ${table} (id int primary key)`);
    const followed = await path.add(table, { capture: 'wal', transport: 'direct' });
    const { id } = followed.receipt;
    const [writer, epoch] = [await path.session(), await claim()];
    for (const isTaken of [false, true]) {
      const { pending, handOver } = offerOf(id, ['1', '22']);
      const giving = giveRows({ pg: writer, slot: await slotOf(), epoch }, pending, undefined, {
        signal: AbortSignal.timeout(20_000),
      });
      if (isTaken)
        await waitFor(() => Promise.resolve(handOver.take() !== undefined), { what: 'the rows', deadlineMs: 10_000 });
      handOver[Symbol.dispose]();
      await giving;
      expect(pending.tables.get(id)?.text.toString()).toBe('\\N\t1\n\\N\t22\n');
    }
  });

  it('get no position where another reader has the slot', async () => {
    const table = freshName('rows');
    await path.source.query(`create table ${table} (id int primary key)`);
    const followed = await path.add(table, { capture: 'wal', transport: 'direct' });
    const epoch = await claim();
    await claim();
    const { pending } = offerOf(followed.receipt.id, ['1']);
    const giving = giveRows({ pg: await path.session(), slot: await slotOf(), epoch }, pending, undefined, {
      signal: AbortSignal.timeout(20_000),
    });
    await expect(giving).rejects.toMatchObject({ kind: 'Fenced' });
    const found = await path.source.query<{ last: string | null }>(
      `select pg_sequence_last_value(pg_get_serial_sequence('pg2click.outbox_${followed.receipt.id}', 'seq'))::text as last`,
    );
    // That of its first copy.
    expect(Number(found.rows[0]?.last ?? 0)).toBeLessThanOrEqual(1);
  });

  it('that were named by an attempt that died are read again, and its name is forgotten', async () => {
    const table = freshName('rows');
    await path.source.query(`create table ${table} (id int primary key)`);
    const followed = await path.add(table, { capture: 'wal', transport: 'direct' });
    await followed.copy();
    await path.source.query(`insert into ${table} values (1)`);
    await followed.settle();
    await path.source
      .query(`update pg2click.stage set pending = jsonb_build_object('batch', batch + 1, 'generation', 1, 'shape', 1,
        'first', '1000', 'last', '2000', 'snapshot', '1:1:', 'events', 0, 'streamed', true) where table_id = ${followed.receipt.id} and stage = 'direct'`);
    await path.source.query(`insert into ${table} values (2)`);
    expect(await followed.expectEqual()).toBe(2);
  });

  const slotOf = async (): Promise<string> =>
    (await path.source.query<{ slot: string }>('select slot from pg2click.wal_reader')).rows[0]?.slot ?? '';
  const claim = async (): Promise<string> =>
    (
      await path.source.query<{ epoch: string }>(
        'update pg2click.wal_reader set epoch = epoch + 1 returning epoch::text',
      )
    ).rows[0]?.epoch ?? '';
});

/** Rows of one column, on their way to a stage. */
function offerOf(id: string, values: readonly string[]): { pending: PendingChanges; handOver: HandOver } {
  const catalog = { name: 'id', position: 1, type: 23, modifier: -1 };
  const form = { json: 'bare', outside: undefined, isPadded: false, takesNull: false, absent: '0' } as const;
  const plan: RowPlan = { columns: [{ ...form, name: 'id', key: 0, catalog }], generation: 1, shape: 1 };
  const places = RowPlaces.find(plan, { oid: 1, identity: 'd', columns: [{ ...catalog, isIdentity: true }] });
  const [pending, handOver, tuple] = [
    new PendingChanges(),
    new HandOver(id, plan, 0n, { until: 0n, relation: 1 }),
    new Tuple(),
  ];
  if (places === undefined) throw new Error('the plan does not fit');
  for (const value of values) {
    const message = Buffer.from([0, 1, TEXT, 0, 0, 0, value.length, ...Buffer.from(value)]);
    tuple.read(message, 0);
    pending.rowsOf(handOver, places).add(message, tuple, false);
  }
  return { pending, handOver };
}
