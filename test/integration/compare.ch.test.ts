import { createClient, type ClickHouseClient } from '@clickhouse/client';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { compareTable, isEqual, type Comparison } from '../../dev/compare/compare.js';
import { clickhouseOptions } from '../support/clients.js';
import { freshDatabase, freshSink } from '../support/stack.js';

const NAME = 'Judged "things"';

let source: pg.Client;
let sink: ClickHouseClient;
let database: string;

beforeAll(async () => {
  source = new pg.Client(await freshDatabase('judge'));
  await source.connect();
  const address = await freshSink('judge');
  database = address.database;
  sink = createClient({ ...clickhouseOptions(address), database });
  await source.query(/* sql */ `
    create type mood as enum ('fine', 'it''s "bad"');
    create table "Judged ""things""" (
      "Part" text, number int, small smallint, big bigint, ok boolean, words varchar(50), price numeric(12, 4),
      half real, whole double precision, day date, at timestamp, since timestamptz, ref uuid, doc jsonb, mood mood,
      primary key ("Part", number)
    )`);
  await sink.command({
    query: /* sql */ `
      create table \`${NAME}\` (
        Part String, number Int32, small Nullable(Int16), big Nullable(Int64), ok Nullable(Bool), words Nullable(String),
        price Nullable(Decimal(12, 4)), half Nullable(Float32), whole Nullable(Float64), day Nullable(Date32),
        at Nullable(DateTime64(6, 'UTC')), since Nullable(DateTime64(6, 'UTC')), ref Nullable(UUID),
        doc Nullable(String), mood LowCardinality(Nullable(String))
      ) engine = MergeTree order by (Part, number)`,
  });
  await sink.command({ query: /* sql */ `create table pristine as \`${NAME}\`` });
  // NaN is a bare word in no JSON: tab-separated text takes it as it is.
  const escape = (value: string): string =>
    value.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n').replaceAll('\r', '\\r');
  const lines = ROWS.map((row) => row.map((value) => (value === null ? '\\N' : escape(value))).join('\t'));
  await sink.command({ query: /* sql */ `insert into pristine format TabSeparated\n${lines.join('\n')}\n` });
});

afterAll(async () => {
  await source.end();
  await sink.close();
});

/** Of the thirteen columns beside the key. */
const ALL_NULL = Array.from({ length: 13 }, () => null);

const EPOCH = ['1970-01-01', '1970-01-01 00:00:00', '1970-01-01 00:00:00'] as const;

/** Texts that both servers read, by column. */
const ROWS: readonly (readonly (string | null)[])[] = [
  [
    'a',
    '1',
    '-32768',
    '-9223372036854775808',
    'true',
    '',
    '0.5000',
    '1.5',
    '-0',
    '1900-01-01',
    '1999-12-31 23:59:59.999999',
    '2024-02-29 12:00:00.000001',
    '123e4567-e89b-12d3-a456-426614174000',
    '{"a": 1}',
    'fine',
  ],
  ['a', '2', ...ALL_NULL],
  [
    'a',
    '10',
    '1',
    '9223372036854775807',
    'false',
    'null',
    '-12345678.0001',
    'NaN',
    'NaN',
    '2299-12-31',
    '1900-01-01 00:00:00',
    '2262-01-01 00:00:00',
    '00000000-0000-0000-0000-000000000000',
    '[]',
    `it's "bad"`,
  ],
  [
    'a|b',
    '3',
    '0',
    '0',
    'true',
    `tab\tnl\nbs\\ quote' cr\r`,
    '0',
    '3.4028235e38',
    '1e-300',
    '1969-12-31',
    '1969-12-31 23:59:59.5',
    '1970-01-01 00:00:00',
    null,
    '"x"',
    null,
  ],
  ['ü ☃', '4', '0', '0', 'true', 'é', '100', '1e-45', '0.1', ...EPOCH, null, null, null],
  ['', '5', '0', '0', 'true', ' ', '1', '0', '0', ...EPOCH, null, null, null],
];

beforeEach(async () => {
  await source.query(/* sql */ `truncate "Judged ""things"""`);
  for (const row of ROWS) {
    const places = row.map((_value, index) => `$${index + 1}`).join(', ');
    await source.query(/* sql */ `insert into "Judged ""things""" values (${places})`, [...row]);
  }
  await refill(/* sql */ `select * from pristine`);
});

function compare(): Promise<Comparison> {
  return compareTable({
    postgres: source,
    clickhouse: sink,
    table: { schema: 'public', table: NAME },
    view: { database, table: NAME },
  });
}

/** Fills ClickHouse's side anew from the pristine rows. An ALTER .. UPDATE would do, but may take 10 s to begin. */
async function refill(select: string): Promise<void> {
  await sink.command({ query: /* sql */ `truncate table \`${NAME}\`` });
  await sink.command({ query: /* sql */ `insert into \`${NAME}\` ${select}` });
}

/** Another value in the one row that has this number. */
function change(column: string, value: string, number: number): Promise<void> {
  return refill(/* sql */ `select * replace (if(number = ${number}, ${value}, ${column}) as ${column}) from pristine`);
}

function remove(number: number): Promise<void> {
  return refill(/* sql */ `select * from pristine where number != ${number}`);
}

describe('the comparison of both sides', () => {
  it('finds equal rows equal, whatever they hold', async () => {
    const found = await compare();
    expect(found).toMatchObject({ source: ROWS.length, target: ROWS.length, equal: ROWS.length, differences: [] });
    expect(isEqual(found)).toBe(true);
  });

  it.each([
    ['a bigint that is one off', 'big', 'big + 1', 1],
    ['a smallint', 'small', '-32767', 1],
    ['a boolean', 'ok', 'false', 1],
    ['an empty text instead of NULL', 'words', `''`, 2],
    ['NULL instead of an empty text', 'words', 'null', 1],
    ['NULL instead of the text null', 'words', 'null', 10],
    ['the last digit of a numeric', 'price', `toDecimal64('-12345678.0002', 4)`, 10],
    ['0 instead of -0', 'whole', '0.0', 1],
    ['0 instead of NaN', 'whole', '0.0', 10],
    ['the last bit of a float', 'whole', '0.10000000000000002', 4],
    ['the smallest real', 'half', '0', 4],
    ['a day', 'day', `toDate32('1970-01-02')`, 4],
    ['a microsecond', 'since', `toDateTime64('2024-02-29 12:00:00.000002', 6, 'UTC')`, 1],
    ['a microsecond before 1970', 'at', `toDateTime64('1969-12-31 23:59:59.500001', 6, 'UTC')`, 3],
    ['a blank in json', 'doc', `'{"a":1}'`, 1],
    ['an enum', 'mood', `'fine'`, 10],
    ['a uuid', 'ref', `'123e4567-e89b-12d3-a456-426614174001'`, 1],
    ['a trailing newline', 'words', `words || '\\n'`, 3],
  ])('notices %s', async (_what, column, value, number) => {
    await change(column, value, number);
    const found = await compare();
    expect(found).toMatchObject({ equal: ROWS.length - 1, changed: 1, missing: 0, extra: 0 });
    expect(found.differences).toHaveLength(1);
    expect(found.differences[0]?.key).toContain(`, ${number})`);
    expect(isEqual(found)).toBe(false);
  });

  it.each([1, 2, 10, 3, 4, 5])('notices that row %i is missing', async (number) => {
    await remove(number);
    const found = await compare();
    expect(found).toMatchObject({ equal: ROWS.length - 1, changed: 0, missing: 1, extra: 0 });
    expect(found.differences[0]?.key).toContain(`, ${number})`);
    expect(isEqual(found)).toBe(false);
  });

  it('notices rows that are only in ClickHouse, at either end', async () => {
    await sink.command({ query: /* sql */ `insert into \`${NAME}\` (Part, number) values ('', 0), ('zzz', 1)` });
    const found = await compare();
    expect(found).toMatchObject({ source: ROWS.length, equal: ROWS.length, extra: 2 });
    expect(found.differences).toEqual([
      { kind: 'extra', key: '(zzz, 1)' },
      { kind: 'extra', key: '(, 0)' },
    ]);
    expect(isEqual(found)).toBe(false);
  });

  it('notices a row that is there twice', async () => {
    await sink.command({ query: /* sql */ `insert into \`${NAME}\` select * from pristine where number = 4` });
    const found = await compare();
    expect(found).toMatchObject({ equal: ROWS.length, extra: 1, differences: [{ kind: 'extra', key: '(ü ☃, 4)' }] });
    expect(isEqual(found)).toBe(false);
  });

  it('notices a key of other case as one missing and one extra', async () => {
    await remove(4);
    await sink.command({ query: /* sql */ `insert into \`${NAME}\` (Part, number) values ('Ü ☃', 4)` });
    expect(await compare()).toMatchObject({ missing: 1, extra: 1, changed: 0 });
  });

  it('calls two empty sides equal and names ten keys of an emptied one', async () => {
    await sink.command({ query: /* sql */ `truncate table \`${NAME}\`` });
    expect(await compare()).toMatchObject({ missing: ROWS.length, equal: 0 });
    await source.query(/* sql */ `truncate "Judged ""things"""`);
    const found = await compare();
    expect(found).toMatchObject({ source: 0, target: 0, equal: 0 });
    expect(isEqual(found)).toBe(true);
  });

  it('compares rows that are longer than one chunk of either stream', async () => {
    const long = `repeat('k', 300)`;
    await source.query(/* sql */ `
      insert into "Judged ""things""" ("Part", number, words)
      select ${long} || n, n, 'w' from generate_series(0, 19999) n`);
    const both = (first: number) => /* sql */ `
      insert into \`${NAME}\` (Part, number, words)
      select ${long} || toString(number), number, 'w' from numbers(${first}, ${20_000 - first})`;
    await sink.command({ query: both(1) });
    expect(await compare()).toMatchObject({ equal: 19_999 + ROWS.length, missing: 1, extra: 0, changed: 0 });
    await refill(/* sql */ `select * from pristine`);
    await sink.command({ query: both(0) });
    expect(await compare()).toMatchObject({ equal: 20_000 + ROWS.length, missing: 0, extra: 0, changed: 0 });
  });

  it('refuses a relation with other columns', async () => {
    await sink.command({ query: /* sql */ `create table other (Part String, number Int32) engine = Memory` });
    const compared = compareTable({
      postgres: source,
      clickhouse: sink,
      table: { schema: 'public', table: NAME },
      view: { database, table: 'other' },
    });
    await expect(compared).rejects.toMatchObject({ kind: 'SchemaMismatch' });
  });
});
