import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import pg from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { afterAll, describe, expect, test } from 'vitest';
import { knownType } from '../../src/domain/column-type.js';
import { quotePg } from '../../src/domain/identifier.js';
import type { Column, Replica } from '../../src/domain/replica.js';
import { composeVersion } from '../../src/domain/version.js';
import { insertCopy } from '../../src/sink/copy.js';
import { insertValues } from '../../src/sink/insert.js';
import { createTarget } from '../../src/sink/target.js';
import { column, openSink, replicaOf, rowsOf } from '../support/sink.js';
import { freshDatabase } from '../support/stack.js';

const sink = await openSink('values');
const source = new pg.Client({ ...(await freshDatabase('values')) });
await source.connect();
afterAll(() => source.end());
await source.query(/* sql */ `
  set TimeZone = 'UTC';
  set DateStyle = 'ISO';
  set extra_float_digits = 1;
  create type mood as enum ('fine', 'it''s "odd"', E'tab\\there');
`);

const signal = new AbortController().signal;

interface ValueCase {
  readonly type: string;
  readonly declared?: string;
  readonly more?: Partial<Column>;
  /** SQL literals of PostgreSQL. */
  readonly values: readonly string[];
  /** What PostgreSQL prints of `v`, and what ClickHouse prints of what it stored: must be the same text. */
  readonly printed?: { readonly pg: string; readonly ch: string };
}

const TEXTS = [
  `''`,
  `'\\N'`,
  `'\\\\N'`,
  `'NULL'`,
  `'null'`,
  `E'tab\\tnewline\\nreturn\\rbackspace\\bfeed\\fvertical\\vend'`,
  `E'\\x01\\x1f\\x7f'`,
  `'"double" ''single'' \`back\`'`,
  `'back\\slash and trailing \\'`,
  `'{"a": "}"}'`,
  `U&'\\00e9\\4e2d\\+01F600\\200B\\FEFF'`,
  `'id'`,
  `' leading and trailing '`,
  `repeat('long ', 40000)`,
];

const FLOAT_BITS = { pg: `encode(float8send(v), 'hex')`, ch: `leftPad(lower(hex(reinterpretAsUInt64(v))), 16, '0')` };
const REAL_BITS = { pg: `encode(float4send(v), 'hex')`, ch: `leftPad(lower(hex(reinterpretAsUInt32(v))), 8, '0')` };
const MOMENT = { pg: `to_char(v, 'YYYY-MM-DD HH24:MI:SS.US')`, ch: `toString(v)` };

const CASES: readonly ValueCase[] = [
  { type: 'bigint', values: ['-9223372036854775808', '9223372036854775807', '0', '9007199254740993'] },
  { type: 'integer', values: ['-2147483648', '2147483647', '0'] },
  { type: 'smallint', values: ['-32768', '32767', '0'] },
  { type: 'boolean', values: ['true', 'false'] },
  { type: 'text', values: TEXTS },
  { type: 'character varying', declared: 'varchar(300000)', values: TEXTS },
  {
    type: 'double precision',
    values: [
      'NaN',
      'Infinity',
      '-Infinity',
      '0',
      '-0',
      '0.1',
      '1.7976931348623157e308',
      '5e-324',
      '-2.2250738585072014e-308',
      '123456789012345680',
      '0.30000000000000004',
    ].map((v) => `'${v}'`),
    printed: FLOAT_BITS,
  },
  {
    type: 'real',
    values: ['NaN', 'Infinity', '-Infinity', '-0', '0.1', '3.4028235e38', '1e-45', '16777216'].map((v) => `'${v}'`),
    printed: REAL_BITS,
  },
  {
    type: 'numeric',
    declared: 'numeric(10, 2)',
    more: { precision: 10, scale: 2 },
    values: ['99999999.99', '-99999999.99', '0.01', '-0.01', '0', '1.5'],
    printed: { pg: `v::text`, ch: `toDecimalString(v, 2)` },
  },
  {
    type: 'numeric',
    declared: 'numeric(76, 38)',
    more: { precision: 76, scale: 38 },
    values: [
      `${'9'.repeat(38)}.${'9'.repeat(38)}`,
      `-${'9'.repeat(38)}.${'9'.repeat(38)}`,
      `0.${'0'.repeat(37)}1`,
      '12345678901234567890.1',
    ],
    printed: { pg: `v::text`, ch: `toDecimalString(v, 38)` },
  },
  {
    type: 'numeric',
    declared: 'numeric(76, 0)',
    more: { precision: 76, scale: 0 },
    values: ['9'.repeat(76), `-${'9'.repeat(76)}`, '1e20'],
    printed: { pg: `v::text`, ch: `toDecimalString(v, 0)` },
  },
  { type: 'date', values: [`'1900-01-01'`, `'2299-12-31'`, `'1970-01-01'`, `'1969-12-31'`, `'2000-02-29'`] },
  {
    type: 'timestamp without time zone',
    values: [
      `'1900-01-01 00:00:00'`,
      `'2299-12-31 23:59:59.999999'`,
      `'1969-12-31 23:59:59.999999'`,
      `'1970-01-01 00:00:00.000001'`,
      `'2024-02-29 12:34:56.1'`,
    ],
    printed: MOMENT,
  },
  {
    type: 'timestamp with time zone',
    values: [
      `'1900-01-01 00:00:00+00'`,
      `'2299-12-31 23:59:59.999999+00'`,
      `'2024-03-31 02:30:00.123456+05:45'`,
      `'1969-12-31 23:59:59.999999-11'`,
    ],
    printed: MOMENT,
  },
  {
    type: 'uuid',
    values: [
      `'00000000-0000-0000-0000-000000000000'`,
      `'ffffffff-ffff-ffff-ffff-ffffffffffff'`,
      `'123E4567-e89b-12d3-a456-426614174000'`,
    ],
  },
  {
    type: 'json',
    values: [
      `'{"b": 1,  "a":\t[1, 2], "b": 2}'`,
      `E'{\\n "x": "\\\\n"}'`,
      `'null'`,
      `'"text"'`,
      `'12345678901234567890.10'`,
      `'[]'`,
    ],
  },
  {
    type: 'jsonb',
    values: [`'{"b": 1,  "a": [1, 2], "b": 2}'`, `'null'`, `'"te\\"xt\\\\"'`, `'1e400'`, `'{"é": "中"}'`],
  },
  { type: 'enum', declared: 'mood', values: [`'fine'`, `'it''s "odd"'`, `E'tab\\there'`] },
];

/** Makes the source and two targets: one to be filled by COPY, one by JSON. */
async function prepare(
  one: ValueCase,
  nullable: boolean,
): Promise<{ table: string; copied: Replica; loaded: Replica }> {
  const columns = [column('id', 'bigint'), column('v', one.type, { ...one.more, nullable })];
  const copied = replicaOf(sink, columns);
  const loaded = replicaOf(sink, columns);
  await createTarget(sink.ch, copied);
  await createTarget(sink.ch, loaded);
  const table = copied.target.table;
  const constraint = nullable ? '' : 'not null';
  await source.query(
    /* sql */ `create table ${table} (id bigint primary key, v ${one.declared ?? one.type} ${constraint})`,
  );
  const values = nullable ? [...one.values, 'null'] : one.values;
  await source.query(
    /* sql */ `insert into ${table} values ${values.map((value, index) => `(${index}, ${value})`).join(', ')}`,
  );
  return { table, copied, loaded };
}

async function copyAll(table: string, replica: Replica): Promise<void> {
  const expressions = replica.columns.map((one) => knownType(one).copy(quotePg(one.name)));
  const version = composeVersion(1, 5n);
  const query = /* sql */ `copy (select ${expressions.join(', ')}, ${version}, 0 from ${table} order by id) to stdout`;
  await insertCopy(sink.ch, replica, source.query(copyTo(query)), { signal });
}

async function loadAll(table: string, replica: Replica): Promise<void> {
  const expressions = replica.columns.map((one) => `${knownType(one).json(quotePg(one.name))} as ${quotePg(one.name)}`);
  const version = composeVersion(1, 5n);
  const { rows } = await source.query<{ json: string }>(/* sql */ `
    select row_to_json(r.*)::text as json
    from (select ${expressions.join(', ')}, '${version}' as _version, 0 as _deleted from ${table} order by id) r`);
  const values = rows.map(({ json }) => Buffer.from(json));
  await insertValues(sink.ch, replica, { values, token: replica.target.table, signal });
}

describe.each([
  ['not null', false],
  ['nullable', true],
])('%s', (_what, nullable) => {
  test.each(CASES.map((one) => [one.declared ?? one.type, one] as const))(
    '%s: COPY text and JSON are stored alike, and as PostgreSQL has them',
    async (_type, one) => {
      const { table, copied, loaded } = await prepare(one, nullable);
      await copyAll(table, copied);
      await loadAll(table, loaded);

      const print = one.printed ?? { pg: 'v::text', ch: 'toString(v)' };
      const { rows: truth } = await source.query<{ id: string; v: string | null }>(
        /* sql */ `select id::text as id, ${print.pg} as v from ${table} order by ${table}.id`,
      );
      const stored = (replica: Replica): Promise<{ id: string; v: string | null }[]> =>
        rowsOf(
          sink,
          /* sql */ `
            select toString(id) as id, if(isNull(s.v), null, ${print.ch.replaceAll('v', 'assumeNotNull(s.v)')}) as v
            from ${sink.database}.${replica.target.table} as s final
            order by s.id`,
        );
      expect(await stored(copied)).toEqual(truth);
      expect(await stored(loaded)).toEqual(truth);
    },
  );
});

describe('what ClickHouse would change without a word is refused, by both roads', () => {
  test.each([
    ['date', {}, `'0001-01-01'`],
    ['date', {}, `'9999-12-31'`],
    ['date', {}, `'infinity'`],
    ['date', {}, `'0044-03-15 BC'`],
    ['timestamp without time zone', {}, `'0001-01-01 00:00:00'`],
    ['timestamp without time zone', {}, `'9999-12-31 23:59:59.999999'`],
    ['timestamp without time zone', {}, `'-infinity'`],
    ['timestamp with time zone', {}, `'2300-01-01 00:00:00+00'`],
    ['timestamp with time zone', {}, `'0044-03-15 12:00:00+00 BC'`],
    ['numeric', { precision: 10, scale: 2 }, `'NaN'`],
  ])('%s %j %s', async (type, more, value) => {
    const declared = type === 'numeric' ? 'numeric(10, 2)' : type;
    const { table, copied, loaded } = await prepare({ type, declared, more, values: [value] }, false);
    await expect(copyAll(table, copied)).rejects.toMatchObject({ kind: 'RowRefused' });
    await expect(loadAll(table, loaded)).rejects.toMatchObject({
      kind: 'RowRefused',
      message: expect.stringContaining('at row 1 of the insert, column "v"'),
    });
    expect(await rowsOf(sink, `select * from ${sink.database}.${copied.target.table}`)).toEqual([]);
    expect(await rowsOf(sink, `select * from ${sink.database}.${loaded.target.table}`)).toEqual([]);
  });
});

test('a first row of texts that are the names of the columns is a row', async () => {
  const replica = replicaOf(sink, [column('id', 'text'), column('v', 'text')]);
  await createTarget(sink.ch, replica);
  const rows = new PassThrough();
  rows.end(`id\tv\t${composeVersion(1, 1n)}\t0\n`);
  await insertCopy(sink.ch, replica, rows, { signal });
  expect(await rowsOf(sink, `select id, v from ${sink.database}.${replica.target.table}`)).toEqual([
    { id: 'id', v: 'v' },
  ]);
  if (!rows.closed) await once(rows, 'close');
});
