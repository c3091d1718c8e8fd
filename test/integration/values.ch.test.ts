import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type pg from 'pg';
import { text as readText } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { targetColumns } from '../../src/domain/column-type.js';
import { quoteCh } from '../../src/domain/identifier.js';
import type { OutboxBatch } from '../../src/domain/batch.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { copyRows } from '../../src/source/copy/copy-rows.js';
import { readBatch } from '../../src/source/outbox/drain.js';
import type { RowContent } from '../../src/pipeline/row-batch.js';
import { allocatePosition } from '../../src/source/settle.js';
import { textOf } from '../support/spans.js';
import { addressOf, freshDatabase, freshName, freshSink } from '../support/stack.js';
import { connectSource, nameBatch, replicate } from '../support/source-table.js';

/** Every supported type with the values that are hard on the way; each on both roads, as COPY text and as JSON. */
const FAITHFUL: Readonly<Record<string, readonly string[]>> = {
  bigint: ['0', '-9223372036854775808', '9223372036854775807', '9007199254740993'],
  integer: ['-2147483648', '2147483647'],
  smallint: ['-32768', '32767'],
  boolean: ['true', 'false'],
  text: [
    '',
    'a',
    '\\N',
    '\\',
    '"quoted"',
    `it's`,
    'tab\t, newline\n, return\r',
    '\b\f\v\u0001\u007f',
    'null',
    'ÄÖ€🐘',
    '\u2028',
  ],
  'varchar(10)': ['', '  blanks  ', '€€€€€€€€€€'],
  'character varying': ['x'.repeat(70_000)],
  'double precision': ['0', '-0', '0.1', '1e-320', '1.7976931348623157e+308', '5e-324', '123456789.123456789'],
  real: ['0.1', '3.4028235e+38', '1e-45', '16777217'],
  'numeric(10,2)': ['0.00', '99999999.99', '-99999999.99', '1.50', '0.1'],
  'numeric(76,38)': [`-${'9'.repeat(38)}.${'9'.repeat(38)}`, `0.${'0'.repeat(37)}1`],
  'numeric(5,5)': ['0.12345'],
  date: ['1900-01-01', '1969-12-31', '2024-02-29', '2299-12-31'],
  timestamp: [
    '1900-01-01 00:00:00',
    '1969-12-31 23:59:59.5',
    '2024-01-01 12:00:00.000001',
    '2299-12-31 23:59:59.999999',
  ],
  timestamptz: [
    '1900-01-01 00:00:00+00',
    '1969-12-31 23:59:59.999999+00',
    '2024-07-01 02:30:00+02',
    '2299-12-31 23:59:59.999999+00',
  ],
  uuid: ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '00000000-0000-0000-0000-000000000000'],
  json: ['{"b": 1,\n\t"a" : [1, 2.50, "\\u00e9\\n\\\\"]}', '"text"', 'null', '1.10'],
  jsonb: ['{"a": "line\\nbreak \\"q\\" \\\\"}', '[]', '12345678901234567890.10'],
  mood: ['fine', `it's "so\\so"`, 'Ünd\ttab'],
  positive: ['1', '2147483647'],
};

/** What ClickHouse would take for something else and say nothing, or has no place for: the row must be refused. */
const REFUSED: Readonly<Record<string, readonly string[]>> = {
  date: ['1899-12-31', '2300-01-01', 'infinity', '-infinity', '0044-03-15 BC', '5874897-12-31'],
  timestamp: [
    '1899-12-31 23:59:59.999999',
    '2300-01-01',
    'infinity',
    '-infinity',
    '0044-03-15 10:00 BC',
    '294276-12-31',
  ],
  timestamptz: [
    '1899-12-31 23:59:59.999999+00',
    '2300-01-01 00:00:00+00',
    'infinity',
    '-infinity',
    '0044-03-15 10:00+00 BC',
  ],
  'numeric(10,2)': ['NaN'],
};

describe('a value of PostgreSQL', async () => {
  const address = await freshDatabase('values');
  const sink = await freshSink('values');
  const server = addressOf('clickhouse');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(`create type mood as enum ('fine', 'it''s "so\\so"', E'Ünd\\ttab')`);
    await client.query(`create domain positive as int check (value > 0)`);
  });
  afterAll(() => client.end());

  const clickhouse = async (query: string, body = ''): Promise<string> => {
    const url = new URL(server.url);
    for (const [name, value] of Object.entries({
      query,
      database: sink.database,
      date_time_input_format: 'best_effort',
      input_format_null_as_default: '0',
      precise_float_parsing: '1',
      input_format_tsv_empty_as_default: '0',
    }))
      url.searchParams.set(name, value);
    const authorization = `Basic ${Buffer.from(`${server.user}:${server.password}`).toString('base64')}`;
    const options = { method: 'POST', headers: { authorization } };
    const request =
      server.ssl === undefined ? http.request(url, options) : https.request(url, { ...options, ca: server.ssl.ca });
    request.end(body);
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    const answer = await readText(response);
    if (response.statusCode !== 200) throw new Error(answer);
    return answer;
  };

  const roads = {
    copy: async (table: string, replica: ReplicatedTable): Promise<void> => {
      const rows = copyRows(client, replica, await allocatePosition(client, replica.id), {
        signal: AbortSignal.timeout(20_000),
      });
      await clickhouse(`insert into ${table} format TabSeparated`, await readText(rows));
    },
    drain: async (table: string, replica: ReplicatedTable): Promise<void> => {
      await clickhouse(`insert into ${table} format JSONEachRow`, (await drained(replica, 'json')).join('\n'));
    },
    text: async (table: string, replica: ReplicatedTable): Promise<void> => {
      await clickhouse(`insert into ${table} format TabSeparated`, (await drained(replica, 'text')).join('\n'));
    },
  };
  const drained = async (replica: ReplicatedTable, rows: RowContent['rows']): Promise<string[]> => {
    const batch = (await nameBatch(client, replica)) as OutboxBatch;
    const values: string[] = [];
    const reading = readBatch(client, replica, batch, { signal: AbortSignal.timeout(20_000), rows });
    for await (const changes of reading.changes) for (const { value } of changes) values.push(textOf(value));
    expect(values.filter((value) => value.includes('\n'))).toEqual([]);
    return values;
  };

  const make = async (
    type: string,
    nullable: boolean,
  ): Promise<{ source: string; target: string; table: ReplicatedTable }> => {
    const source = freshName('t');
    await client.query(`create table ${source} (id int primary key, v ${type} ${nullable ? '' : 'not null'})`);
    const table = await replicate(client, { schema: 'public', table: source });
    const target = freshName('t');
    const columns = targetColumns(table).map(({ name, type: chType }) => `${quoteCh(name)} ${chType}`);
    await clickhouse(
      `create table ${target} (${columns.join(', ')}) engine = ReplacingMergeTree(_version, _deleted) order by id`,
    );
    return { source, target, table: table };
  };

  for (const [type, values] of Object.entries(FAITHFUL)) {
    for (const road of ['copy', 'drain', 'text'] as const) {
      it(`of type ${type} is the same by ${road}`, async () => {
        const { source, target, table: replica } = await make(type, true);
        const all = [...values, null];
        for (const [id, value] of all.entries())
          await client.query(`insert into ${source} values ($1, $2)`, [id, value]);
        await roads[road](target, replica);
        const wanted = await client.query<{ v: string | null }>(`select v::text as v from ${source} order by id`);
        const got = await clickhouse(`select toString(v) as v from ${target} final order by id format JSONEachRow`);
        const shown = got
          .trim()
          .split('\n')
          .map((line) => normal(type, (JSON.parse(line) as { v: string | null }).v));
        expect(shown).toEqual(wanted.rows.map(({ v }) => normal(type, v)));
      });
    }
  }

  for (const [type, values] of Object.entries(REFUSED)) {
    it(`of type ${type} that ClickHouse would change is refused: ${values.join(', ')}`, async () => {
      for (const nullable of [false, true]) {
        const { source, target, table: replica } = await make(type, nullable);
        for (const value of values) {
          await client.query(`truncate ${source}; delete from pg2click.outbox_${replica.id}`);
          await client.query(`insert into ${source} values (1, $1)`, [value]);
          for (const road of ['copy', 'drain', 'text'] as const)
            await expect(roads[road](target, replica)).rejects.toThrow(/Code: \d+/u);
        }
        expect(await clickhouse(`select count() from ${target} format TabSeparated`)).toBe('0\n');
      }
    });
  }

  // Whether a column takes NULL or not: nobody sees its value in a tombstone, but ClickHouse reads it.
  it.each(['drain', 'text'] as const)('that is gone leaves a tombstone, of every type: %s', async (road) => {
    const types = Object.keys(FAITHFUL);
    const source = freshName('t');
    const columns = types.flatMap((type, index) => [`n${index} ${type} not null`, `v${index} ${type}`]);
    await client.query(`create table ${source} (id int primary key, ${columns.join(', ')})`);
    const replica = await replicate(client, { schema: 'public', table: source });
    const target = freshName('t');
    const chColumns = targetColumns(replica).map(({ name, type: chType }) => `${quoteCh(name)} ${chType}`);
    await clickhouse(
      `create table ${target} (${chColumns.join(', ')}) engine = ReplacingMergeTree(_version, _deleted) order by id`,
    );
    const values = types.flatMap((type) => {
      const value = `'${(FAITHFUL[type]?.[0] ?? '').replaceAll(`'`, `''`)}'`;
      return [value, value];
    });
    for (const id of [1, 2]) await client.query(`insert into ${source} values (${id}, ${values.join(', ')})`);
    await roads[road](target, replica);
    expect(await clickhouse(`select id from ${target} final order by id`)).toBe('1\n2\n');
    await client.query(`delete from ${source} where id = 1`);
    await roads[road](target, replica);
    expect(await clickhouse(`select id from ${target} final order by id`)).toBe('2\n');
    expect(await clickhouse(`select max(_deleted), countIf(_deleted = 1) from ${target}`)).toBe('1\t1\n');
  });

  // Every type that a key may have, so that the tombstone carries it.
  it('of a key is the same in a row and in its tombstone, as text', async () => {
    for (const [type, values] of Object.entries(FAITHFUL)) {
      // The last of these is longer than a page of the index.
      if (/^(json|jsonb|real|double precision|character varying)$/u.test(type)) continue;
      const source = freshName('t');
      await client.query(`create table ${source} (id ${type} primary key, v int not null)`);
      const replica = await replicate(client, { schema: 'public', table: source });
      const target = freshName('t');
      const chColumns = targetColumns(replica).map(({ name, type: chType }) => `${quoteCh(name)} ${chType}`);
      await clickhouse(
        `create table ${target} (${chColumns.join(', ')}) engine = ReplacingMergeTree(_version, _deleted) order by id`,
      );
      for (const value of new Set(values)) await client.query(`insert into ${source} values ($1, 1)`, [value]);
      await roads.text(target, replica);
      expect(Number(await clickhouse(`select count() from ${target} final`))).toBeGreaterThan(0);
      await client.query(`delete from ${source}`);
      await roads.text(target, replica);
      expect(await clickhouse(`select count() from ${target} final`)).toBe('0\n');
    }
  });

  it('of a float that is not a number arrives as what it is', async () => {
    for (const road of ['copy', 'drain', 'text'] as const) {
      const { source, target, table: replica } = await make('double precision', false);
      await client.query(`insert into ${source} values (1, 'NaN'), (2, 'Infinity'), (3, '-Infinity')`);
      await roads[road](target, replica);
      expect(await clickhouse(`select v from ${target} order by id format TabSeparated`)).toBe('nan\ninf\n-inf\n');
    }
  });
});

/** Where the two servers print the same value in two ways. */
function normal(type: string, text: string | null): unknown {
  if (text === null) return null;
  if (type === 'double precision' || type === 'real') return Object.is(Number(text), -0) ? '-0' : Number(text);
  if (type.startsWith('numeric')) return text.includes('.') ? text.replace(/\.?0+$/u, '') : text;
  if (type.startsWith('timestamp'))
    return text.replace(/\+00$/u, '').replace(/(?:\.\d*?)0+$/u, (tail) => tail.replace(/\.?0+$/u, ''));
  return text;
}
