import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { flawOfPrune, needsBytewise, rangeCondition } from '../../src/clickhouse/key-range.js';
import { pruneRange, type PruneOptions } from '../../src/clickhouse/prune.js';
import { writeFloor } from '../../src/clickhouse/floor.js';
import { createTarget } from '../../src/clickhouse/target.js';
import type { KeyRange, KeyTexts } from '../../src/domain/chunk.js';
import { quoteCh, quotePg } from '../../src/domain/identifier.js';
import { targetTable, type Column, type ColumnOptions, type TargetTable } from '../../src/domain/replicated-table.js';
import { composeVersion } from '../../src/domain/version.js';
import { readKeyOrder } from '../../src/source/copy/key-order.js';
import { keyCondition } from '../../src/source/copy/key-range.js';
import { BEGIN_READING } from '../../src/source/session.js';
import { bring, makeTarget, ROADS } from '../support/roads.js';
import { column, openSink, rowsOf, targetTableOf } from '../support/sink.js';
import { connectSource, replicate } from '../support/source-table.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { VALUES } from '../support/type-values.js';

const sink = await openSink('prune');
const { ch } = sink;

/** That of the rows that were read again. */
const P = 100n;
const ALL = { from: null, to: null } as const;
const between = (from: KeyTexts | null, to: KeyTexts | null, bytewise = false) => ({ from, to, bytewise });

const prune = (table: TargetTable, options: Partial<PruneOptions> = {}): Promise<number> =>
  pruneRange(ch, table, {
    range: ALL,
    version: composeVersion(1, P, 1n),
    except: [],
    signal: new AbortController().signal,
    ...options,
  });

const nameOf = ({ target }: TargetTable): string => `${target.database}.${target.table}`;

async function newTarget(columns: readonly Column[], key?: readonly string[]): Promise<TargetTable> {
  const table = targetTableOf(sink, columns, key === undefined ? {} : { key });
  await createTarget(ch, table);
  await ch.command({ query: `system stop merges ${nameOf(table)}` });
  return table;
}

interface Row {
  readonly position: bigint;
  readonly shape?: bigint;
  readonly generation?: number;
  readonly deleted?: 0 | 1;
}

/** @param values SQL of the user's columns, in their order */
async function insert(table: TargetTable, values: string, row: Row): Promise<void> {
  const { position, shape = 1n, generation = 1, deleted = 0 } = row;
  const version = composeVersion(generation, position, shape);
  await ch.command({ query: `insert into ${nameOf(table)} select ${values}, toUInt128('${version}'), ${deleted}` });
}

const shownIds = async (table: TargetTable): Promise<unknown[]> =>
  (await rowsOf<{ id: unknown }>(sink, `select id from ${nameOf(table)}_current order by id`)).map(({ id }) => id);

const ID_AND_TEXT = [column('id', 'bigint'), column('v', 'text')];

describe('a prune', () => {
  it('hides the keys that were not read again, and no others', async () => {
    const table = await newTarget(ID_AND_TEXT);
    for (const id of [1, 2, 3, 4]) await insert(table, `${id}, 'old'`, { position: 50n });
    await insert(table, `2, 'again'`, { position: P });
    await insert(table, `3, 'changed later'`, { position: P + 5n });
    await insert(table, `4, ''`, { position: 60n, deleted: 1 });
    expect(await prune(table)).toBe(1);
    expect(await shownIds(table)).toEqual([2, 3]);
    expect(
      await rowsOf(
        sink,
        `select id, v from ${nameOf(table)} where _deleted and _version = toUInt128('${composeVersion(1, P)}')`,
      ),
    ).toEqual([{ id: 1, v: '' }]);
  });

  it('of a range leaves everything else as it is', async () => {
    const table = await newTarget(ID_AND_TEXT);
    for (let id = -2; id < 6; id += 1) await insert(table, `${id}, 'old'`, { position: 50n });
    expect(await prune(table, { range: between(['-1'], ['3']) })).toBe(4);
    expect(await shownIds(table)).toEqual([-2, 3, 4, 5]);
    expect(await prune(table, { range: between(['4'], null) })).toBe(2);
    expect(await shownIds(table)).toEqual([-2, 3]);
    expect(await prune(table, { range: between(null, ['-1']) })).toBe(1);
    expect(await shownIds(table)).toEqual([3]);
  });

  it('is repeated without harm, with the same report, also under a later shape', async () => {
    const table = await newTarget(ID_AND_TEXT);
    await insert(table, `1, 'old'`, { position: 50n });
    await insert(table, `2, 'again'`, { position: P });
    expect(await prune(table)).toBe(1);
    expect(await prune(table)).toBe(1);
    expect(await prune(table, { version: composeVersion(1, P, 2n) })).toBe(1);
    expect(await shownIds(table)).toEqual([2]);
    expect(await rowsOf(sink, `select count() as n from ${nameOf(table)}`)).toEqual([{ n: 3 }]);
  });

  it('counts rows that were read again under any shape', async () => {
    const table = await newTarget(ID_AND_TEXT);
    await insert(table, `1, 'again'`, { position: P, shape: 1n });
    await insert(table, `2, 'again'`, { position: P, shape: 2n });
    expect(await prune(table, { version: composeVersion(1, P, 2n) })).toBe(0);
    expect(await shownIds(table)).toEqual([1, 2]);
  });

  it('hides also rows of an older generation', async () => {
    const table = await newTarget(ID_AND_TEXT);
    await insert(table, `1, 'old'`, { position: P + 50n, generation: 1 });
    await insert(table, `2, 'again'`, { position: P, generation: 2 });
    expect(await prune(table, { version: composeVersion(2, P, 1n) })).toBe(1);
    expect(await shownIds(table)).toEqual([2]);
  });

  it('loses against a row of its own position that arrives later, and wins over a change of before it', async () => {
    const table = await newTarget(ID_AND_TEXT);
    for (const id of [1, 2, 3]) await insert(table, `${id}, 'old'`, { position: 50n });
    expect(await prune(table)).toBe(3);
    await insert(table, `1, 'read again, in quarantine until now'`, { position: P });
    await insert(table, `2, 'a change that was deleted before the position'`, { position: P - 1n });
    await insert(table, `3, 'a change of after the position'`, { position: P + 1n });
    expect(await shownIds(table)).toEqual([1, 3]);
  });

  it('writes nothing for what the floor hides', async () => {
    const table = await newTarget(ID_AND_TEXT);
    await insert(table, `1, 'truncated'`, { position: 50n });
    await insert(table, `2, 'after the truncate'`, { position: 70n });
    await writeFloor(ch, table, composeVersion(1, 60n));
    expect(await prune(table)).toBe(1);
    expect(await rowsOf(sink, `select id from ${nameOf(table)} where _deleted`)).toEqual([{ id: 2 }]);
    // A TRUNCATE of after the position.
    const other = await newTarget(ID_AND_TEXT);
    await insert(other, `1, 'truncated'`, { position: 50n });
    await writeFloor(ch, other, composeVersion(1, P + 10n));
    expect(await prune(other)).toBe(0);
  });

  it('spares the rows that were read again and refused', async () => {
    const table = await newTarget([column('a', 'text'), column('id', 'timestamp with time zone')], ['a', 'id']);
    const keys: [string, string][] = [];
    for (const [index, a] of ['', `it's`, 'tab\t\\', 'é\n'].entries()) {
      const id = `2024-01-0${index + 1} 00:00:00.5`;
      keys.push([a, `${id}+00`]);
      const text = a.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
      await insert(table, `'${text}', toDateTime64('${id}', 6, 'UTC')`, { position: 50n });
      await insert(table, `'${text}', toDateTime64('2030-01-01 00:00:00', 6, 'UTC')`, { position: 50n });
    }
    const unreadable = ['x', 'never'];
    const except = [unreadable, ...keys, unreadable].map((key) => JSON.stringify(key));
    expect(await prune(table, { except })).toBe(4);
    expect(await shownIds(table)).toHaveLength(4);
    expect((await shownIds(table)).every((id) => String(id).startsWith('2024'))).toBe(true);
  });

  it('takes thousands of keys of rows that were refused', async () => {
    const table = await newTarget(ID_AND_TEXT);
    await ch.command({
      query: `insert into ${nameOf(table)} select number, 'old', toUInt128('${composeVersion(1, 50n, 1n)}'), 0 from numbers(31000)`,
    });
    const except = Array.from({ length: 30_000 }, (_, id) => JSON.stringify([String(id)]));
    expect(await prune(table, { except })).toBe(1_000);
    expect(await shownIds(table)).toHaveLength(30_000);
  });

  it('of a large range is done in parts, and says how far it is', async () => {
    const table = await newTarget(ID_AND_TEXT);
    const fill = (position: bigint, where: string): Promise<unknown> =>
      ch.command({
        query: `insert into ${nameOf(table)} select number, '', toUInt128('${composeVersion(1, position, 1n)}'), 0 from numbers(10000) where ${where}`,
      });
    await fill(50n, '1');
    await fill(P, 'number % 10 != 3');
    const notes: string[] = [];
    expect(await prune(table, { rowsAPart: 5_000, onProgress: (note) => notes.push(note) })).toBe(1_000);
    expect(notes).toEqual([
      'pruned 4,750 of 19,000 rows',
      'pruned 9,500 of 19,000 rows',
      'pruned 14,250 of 19,000 rows',
      'pruned 19,000 of 19,000 rows',
    ]);
    expect(await shownIds(table)).toHaveLength(9_000);
  });

  it('writes tombstones with the defaults of columns that were added, under the names of the target', async () => {
    const table = await newTarget([
      column('id', 'bigint', { physical: 'id_2' }),
      column('n', 'integer', { nullable: true }),
      column('added', 'integer', { missing: '7' }),
      column('odd `name`', 'text'),
    ]);
    await insert(table, `1, 5, 6, 'x'`, { position: 50n });
    expect(await prune(table, { range: between(['0'], ['9']) })).toBe(1);
    expect(await rowsOf(sink, `select * except (_version) from ${nameOf(table)} where _deleted`)).toEqual([
      { id_2: 1, n: null, added: 7, 'odd `name`': '', _deleted: 1 },
    ]);
    expect(await shownIds(table)).toEqual([]);
  });

  it('is anew after its tombstones were deleted by hand: no block counts as a repeat', async () => {
    const table = await newTarget(ID_AND_TEXT);
    await ch.command({ query: `system start merges ${nameOf(table)}` });
    await insert(table, `1, 'old'`, { position: 50n });
    expect(await prune(table)).toBe(1);
    await ch.command({ query: `alter table ${nameOf(table)} delete where _deleted settings mutations_sync = 2` });
    expect(await shownIds(table)).toEqual([1]);
    expect(await prune(table)).toBe(1);
    expect(await shownIds(table)).toEqual([]);
  });

  it('ends with the reason of the signal', async () => {
    const table = await newTarget(ID_AND_TEXT);
    const reason = new Error('enough');
    await expect(prune(table, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  it('says that the target is gone', async () => {
    const table = targetTableOf(sink, ID_AND_TEXT);
    await expect(prune(table)).rejects.toMatchObject({ kind: 'SinkSetBack' });
  });
});

describe('a range of keys', async () => {
  const address = await freshDatabase('prune', `template template0 locale_provider icu icu_locale 'de'`);
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(`create type mood as enum ('fine'); create extension citext`);
  });
  afterAll(() => client.end());

  const made = async (
    columns: string,
    key: string,
    options: ColumnOptions = {},
  ): Promise<Awaited<ReturnType<typeof replicate>>> => {
    const name = freshName('t');
    await client.query(`create table ${name} (${columns}, n int generated always as identity, primary key (${key}))`);
    return replicate(client, { schema: 'public', table: name }, { columns: options });
  };

  const numbers = (rows: readonly { n: number }[]): number[] => rows.map(({ n }) => n).toSorted((a, b) => a - b);

  /** Whatever lies between two of the bounds in PostgreSQL lies between them in ClickHouse. */
  const expectSame = async (
    source: Awaited<ReturnType<typeof replicate>>,
    bounds: readonly KeyTexts[],
  ): Promise<void> => {
    const table: TargetTable = { ...targetTable(source), target: { database: sink.database, table: freshName('t') } };
    await makeTarget(ch, source, nameOf(table));
    await bring(ch, nameOf(table), await ROADS['copy']!(client, source));
    const count = (await rowsOf(sink, `select 1 from ${nameOf(table)}`)).length;
    expect(count).toBe((await client.query(`select 1 from ${quotePg(source.name.table)}`)).rowCount);
    const order = await readKeyOrder(client, source);
    let filled = 0;
    for (const from of [null, ...bounds])
      for (const to of [null, ...bounds]) {
        const range: KeyRange = { kind: 'keys', from, to, bytewise: needsBytewise(table, { from, to }) };
        await client.query(BEGIN_READING);
        const has = await client.query<{ n: number }>(
          `select n from public.${source.name.table} source where ${keyCondition(order, range)}`,
        );
        await client.query('commit');
        const found = await rowsOf<{ n: number }>(
          sink,
          `select ${quoteCh('n')} from ${nameOf(table)} where ${rangeCondition(table, range)}`,
        );
        expect(numbers(found), `${JSON.stringify(from)} to ${JSON.stringify(to)}`).toEqual(numbers(has.rows));
        if (has.rows.length > 0 && has.rows.length < count) filled += 1;
      }
    expect(filled).toBeGreaterThan(0);
  };

  const DAYS = ['1970-01-01', '1999-12-31', '2024-02-29', '2149-06-06'];
  const FAR_DAYS = ['1900-01-01', '1969-12-31', '2299-12-31'];
  const OUTSIDE_DAYS = [
    '-infinity',
    '0044-03-15 BC',
    '0999-01-01',
    '1899-12-31',
    '2149-06-07',
    '2300-01-01',
    '10000-01-01',
    'infinity',
  ];
  const TIMES = ['1970-01-01 00:00:00', '2024-07-01 02:30:00', '2106-02-07 06:28:15'];
  const FINE_TIMES = [
    '1900-01-01 00:00:00',
    '1969-12-31 23:59:59.999999',
    '2024-07-01 02:30:00.000001',
    '2024-07-01 02:29:59.5',
    '2299-12-31 23:59:59.999999',
  ];
  const OUTSIDE_TIMES = [
    '-infinity',
    '0044-03-15 10:00:00 BC',
    '1899-12-31 23:59:59.999999',
    '2106-02-07 06:28:15.000001',
    '2300-01-01 00:00:00',
    '294276-12-31 00:00:00',
    'infinity',
  ];
  const zoned = (texts: readonly string[]): string[] =>
    texts.map((text) =>
      text.includes('infinity') ? text : text.endsWith(' BC') ? text.replace(' BC', '+00 BC') : `${text}+00`,
    );
  const TEXTS = ['', 'a', 'B', 'b', 'ä', 'Z', 'é', '🐘', '\uffee', 'a b', 'a\tb', `it's`, '\\', '_'];
  const UUIDS = [
    '00000000-0000-0000-0000-000000000000',
    '00000000-0000-0001-0000-000000000000',
    '80000000-0000-0000-8000-000000000000',
    '0fffffff-ffff-ffff-0000-000000000001',
    'ffffffff-ffff-ffff-7fff-ffffffffffff',
    'a0000000-0000-0000-0000-000000000000',
    '90000000-0000-0000-ffff-000000000000',
  ];

  it.each<readonly [string, string | undefined, readonly string[], readonly string[]]>([
    ['bigint', undefined, VALUES['bigint'] ?? [], ['-1', '9007199254740992']],
    ['bigint', 'Int128', VALUES['bigint'] ?? [], ['-1']],
    ['bigint', 'Decimal(38, 4)', VALUES['bigint'] ?? [], ['-1']],
    ['integer', 'Int8', ['-128', '127', '0'], ['-129', '128', '2147483647', '-2147483648']],
    ['integer', 'UInt16', ['0', '65535'], ['-1', '65536']],
    ['smallint', undefined, VALUES['smallint'] ?? [], ['0']],
    ['oid', undefined, ['0', '4294967295', '16384'], ['2147483648']],
    ['xid8', undefined, ['0', '18446744073709551615', '16384'], ['9223372036854775808']],
    [
      'numeric(10,2)',
      undefined,
      ['0.00', '99999999.99', '-99999999.99', '1.50', '-1.50', '1.51'],
      ['1.505', '-1.505', '-1.499', 'NaN', '1e30', '-1e30', '99999999.995'],
    ],
    ['numeric(76,38)', undefined, VALUES['numeric(76,38)'] ?? [], ['0']],
    [
      'numeric',
      'Int16',
      ['-3', '0', '7', '32767', '-32768'],
      ['-2.5', '0.5', '7.0', '32768', '-32768.5', 'Infinity', '-Infinity', 'NaN'],
    ],
    [
      'numeric',
      'Decimal(6, 3)',
      ['-3.125', '0', '7.001'],
      ['7.0005', '7.0015', '-3.1255', 'Infinity', '-Infinity', 'NaN', '1000', '-1000'],
    ],
    ['boolean', undefined, ['true', 'false'], []],
    ['boolean', 'UInt8', ['true', 'false'], []],
    ['date', undefined, [...DAYS, ...FAR_DAYS], OUTSIDE_DAYS],
    ['date', 'Date', DAYS, [...FAR_DAYS, ...OUTSIDE_DAYS]],
    ['timestamp', undefined, [...TIMES, ...FINE_TIMES], OUTSIDE_TIMES],
    ['timestamp', `DateTime('UTC')`, TIMES, [...FINE_TIMES, ...OUTSIDE_TIMES]],
    ['timestamptz', undefined, zoned([...TIMES, ...FINE_TIMES]), zoned(OUTSIDE_TIMES)],
    ['timestamptz', `DateTime64(0, 'Europe/Berlin')`, zoned(TIMES), zoned([...FINE_TIMES, ...OUTSIDE_TIMES])],
    ['timestamptz', `DateTime64(8, 'Asia/Tokyo')`, zoned([...TIMES, ...FINE_TIMES]), zoned(OUTSIDE_TIMES)],
    ['uuid', undefined, UUIDS, ['7fffffff-0000-0000-0000-000000000000']],
    ['uuid', 'String', UUIDS, ['7fffffff-0000-0000-0000-000000000000']],
    ['text', undefined, TEXTS, ['aa', 'zz']],
    ['text', 'LowCardinality(String)', TEXTS, ['aa', 'zz']],
    ['varchar(9) collate "und-x-icu"', undefined, TEXTS, ['aa', 'zz']],
    ['name', undefined, TEXTS, ['aa']],
  ])('has the same rows in both servers: %s, %s', async (type, clickhouse, values, others) => {
    const policy =
      clickhouse === undefined || clickhouse.includes('String') ? {} : { policies: { id: 'refuse' as const } };
    const source = await made(
      `id ${type}`,
      'id',
      clickhouse === undefined ? {} : { types: { id: clickhouse }, ...policy },
    );
    for (const value of new Set(values)) await client.query(`insert into ${source.name.table} values ($1)`, [value]);
    await expectSame(
      source,
      [...values, ...others].map((text) => [text]),
    );
  });

  it('has the same rows in both servers where the key has several columns', async () => {
    const source = await made('a text, b numeric, c uuid, d date', 'b, a, d, c', {
      types: { b: 'Int16' },
      policies: { b: 'refuse' },
    });
    for (const b of [-1, 0, 1])
      for (const a of ['B', 'a'])
        for (const d of ['1950-01-01', '2024-01-01'])
          for (const c of UUIDS)
            await client.query(`insert into ${source.name.table} (a, b, c, d) values ($1, $2, $3, $4)`, [a, b, c, d]);
    const [, , , first = '', second = ''] = UUIDS;
    await expectSame(source, [
      ['0', 'a', '1950-01-01', second],
      ['0', 'B', '2024-01-01', first],
      ['0.5', 'B', '2024-01-01', first],
      ['1', 'b', '1950-01-01', second],
      ['0', 'a', 'infinity', second],
      ['0', 'a', '-infinity', second],
      ['0', 'a', '1960-01-01', second],
      ['-1', 'B', '1950-01-01', UUIDS[2] ?? ''],
      ['NaN', 'B', '1950-01-01', first],
    ]);
  });

  it.each([
    ['citext', undefined, 'String'],
    ['mood', undefined, 'LowCardinality(String)'],
    ['char(3)', undefined, 'String'],
    ['bytea', undefined, 'String'],
    ['inet', undefined, 'String'],
    ['numeric', undefined, 'String'],
    ['bigint', 'String', 'String'],
    ['timestamptz', 'String', 'String'],
    ['time', undefined, 'String'],
  ])('cannot be pruned where the servers order its keys in two ways: %s as %s', async (type, clickhouse, shown) => {
    const source = await made(
      `a int, id ${type}`,
      'a, id',
      clickhouse === undefined ? {} : { types: { id: clickhouse } },
    );
    const table = targetTable(source);
    expect(flawOfPrune(table, between(['1', 'x'], null))).toMatch(
      new RegExp(
        `^A range of public.${source.name.table} cannot be pruned, only the whole table: the two servers order the key column id \\(.* in PostgreSQL, ${shown.replaceAll(/[()]/gu, '\\$&')} in ClickHouse\\) in two ways\\.$`,
        'u',
      ),
    );
    expect(flawOfPrune(table, ALL)).toBeUndefined();
    expect(() => rangeCondition(table, between(['1', 'x'], null))).toThrow(RangeError);
  });

  it('cannot be pruned in a target without deletions', () => {
    const table = targetTableOf(sink, ID_AND_TEXT, { engine: 'merge-tree' });
    expect(flawOfPrune(table, ALL)).toContain('it keeps every row that was inserted, and has no deletions.');
  });

  it('of texts must be bytewise', () => {
    const table = targetTableOf(sink, [column('id', 'text')]);
    expect(flawOfPrune(table, between(['a'], null))).toBeUndefined();
    expect([needsBytewise(table, ALL), needsBytewise(table, between(null, ['a']))]).toEqual([false, true]);
    expect(() => rangeCondition(table, between(['a'], null))).toThrow('must be bytewise');
  });
});
