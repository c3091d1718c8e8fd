import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bring, makeTarget, OUTBOX_ROADS } from '../support/roads.js';
import { openSink, rowsOf } from '../support/sink.js';
import { connectSource, replicate } from '../support/source-table.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { MAKE_TYPES, VALUES } from '../support/type-values.js';

/** Types that have an order in PostgreSQL, and no part in a key: their texts, or ours, do not tell values apart as `=` does. */
const NO_KEYS =
  /\[\]$|range$|^(?:address|home|tags|json|jsonb|real|double precision|interval|money|tsvector|tsquery|reg\w+|int2vector|oidvector|feeling)$/u;

describe('a key', async () => {
  const address = await freshDatabase('keys');
  const sink = await openSink('keys');
  const { ch } = sink;
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(MAKE_TYPES);
  });
  afterEach(() => client.query('rollback'));
  afterAll(() => client.end());

  /** Sends what waits on a road of its own, each into a target of its own; @returns how many rows each holds then. */
  const send = async (
    table: Awaited<ReturnType<typeof replicate>>,
    targets: Map<string, string>,
  ): Promise<Record<string, number>> => {
    const counts: Record<string, number> = {};
    for (const [road, take] of Object.entries(OUTBOX_ROADS)) {
      const name = targets.get(road) ?? `${sink.database}.${freshName('t')}`;
      if (!targets.has(road)) await makeTarget(ch, table, name);
      targets.set(road, name);
      await bring(ch, name, await take(client, table));
      counts[road] = (await rowsOf(sink, `select 1 from ${name} final`)).length;
    }
    return counts;
  };
  const onAll = (count: number): Record<string, number> =>
    Object.fromEntries(Object.keys(OUTBOX_ROADS).map((road) => [road, count]));

  // Longer than a page of the index.
  const types = Object.keys(VALUES).filter((type) => type !== 'character varying');
  it.each(types)('of type %s is the same in a row and in its tombstone, or no key', async (type) => {
    const source = freshName('t');
    const made = await client.query(`create table ${source} (id ${type} primary key, v int not null)`).catch(() => {});
    if (made === undefined) return;
    const adding = replicate(client, { schema: 'public', table: source });
    if (NO_KEYS.test(type)) {
      await expect(adding).rejects.toMatchObject({ kind: 'UnsuitableTable' });
      return;
    }
    const table = await adding;
    for (const value of new Set(VALUES[type]))
      await client.query(`insert into ${source} values ($1, 1) on conflict do nothing`, [value]);
    const rows = (await client.query(`select from ${source}`)).rowCount ?? 0;
    const targets = new Map<string, string>();
    expect(await send(table, targets)).toEqual(onAll(rows));
    await client.query(`delete from ${source}`);
    expect(await send(table, targets)).toEqual(onAll(0));
  });

  it.each([
    ['citext', 'Ab', 'aB'],
    ['numeric', '1.0', '1.00'],
    ['text collate nocase', 'Ab', 'aB'],
  ])(
    'of type %s that changes to one that is equal for PostgreSQL is another row: %s, %s',
    async (type, before, after) => {
      await client.query(
        `create collation if not exists nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`,
      );
      const source = freshName('t');
      await client.query(`create table ${source} (id ${type} primary key, v int not null)`);
      const table = await replicate(client, { schema: 'public', table: source });
      const targets = new Map<string, string>();
      await client.query(`insert into ${source} values ('${before}', 1)`);
      await send(table, targets);
      await client.query(`update ${source} set id = '${after}'`);
      expect(await send(table, targets)).toEqual(onAll(1));
      for (const name of targets.values())
        expect(await rowsOf(sink, `select id from ${name} final`)).toEqual([{ id: after }]);
      // An update of something else.
      await client.query(`update ${source} set v = 2`);
      await send(table, targets);
      for (const name of targets.values())
        expect(await rowsOf(sink, `select id, v from ${name} final`)).toEqual([{ id: after, v: 2 }]);
    },
  );
});
