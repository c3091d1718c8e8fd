import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';
import type { ClickHouseClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  oneRow,
  peakMegabytes,
  plainRequest,
  sendRaw,
  startFront,
  type TestFront,
} from '../support/clickhouse-front.js';
import { waitFor } from '../support/wait-for.js';

const MAX_UINT128 = String(2n ** 128n - 1n);

let front: TestFront;
let client: ClickHouseClient;
let credentials: string;

beforeAll(async () => {
  front = await startFront();
  client = front.client();
  credentials = `user=default&password=${front.password}`;
});

afterAll(async () => front.dispose());

/** A replica's table of its own, with a deduplication window. */
async function newTable(): Promise<string> {
  const table = `t_${randomUUID().replaceAll('-', '')}`;
  await client.command({
    query: `create table ${table} (id UInt64, v String, _version UInt128, _deleted UInt8) engine = ReplacingMergeTree(_version, _deleted) order by id settings non_replicated_deduplication_window = 100`,
  });
  return table;
}

const rowsOf = async (table: string): Promise<number> =>
  Number((await oneRow<{ n: string | number }>(client, `select count() as n from ${table}`)).n);
/** What the front says of it. */
const acknowledged = async (table: string): Promise<unknown> => {
  const stats = (await (await fetch(`${front.url}/pg2click/stats`)).json()) as { tables: Record<string, unknown> };
  return stats.tables[`default.${table}`];
};
const lines = (count: number, from = 0): string =>
  Array.from(
    { length: count },
    (_, index) => `{"id":${from + index},"v":"row ${from + index}","_version":"1","_deleted":0}\n`,
  ).join('');
const bytes = (...chunks: readonly (Buffer | string)[]): Readable =>
  Readable.from(
    chunks.map((chunk) => Buffer.from(chunk)),
    { objectMode: false },
  );
const exec = async (query: string, values: Readable, using = client): Promise<void> => {
  const { stream } = await using.exec({ query, values });
  for await (const chunk of stream) void chunk;
};

describe('inserts of every kind', () => {
  it('an array of rows, with a 128-bit version as text', async () => {
    const table = await newTable();
    const { summary } = await client.insert({
      table,
      values: [{ id: 1, v: 'a', _version: MAX_UINT128, _deleted: 0 }],
      format: 'JSONEachRow',
    });
    expect(summary).toMatchObject({ written_rows: '1', read_rows: '1' });
    expect(await oneRow(client, `select v, toString(_version) as version from ${table}`)).toEqual({
      v: 'a',
      version: MAX_UINT128,
    });
  });

  it('a stream of objects, and nothing at all', async () => {
    const table = await newTable();
    const values = Readable.from(
      Array.from({ length: 5_000 }, (_, id) => ({ id, v: 'x', _version: '1', _deleted: 0 })),
    );
    await client.insert({ table, values, format: 'JSONEachRow' });
    await client.insert({ table, values: [], format: 'JSONEachRow' });
    await client.insert({ table, values: Readable.from([]), format: 'JSONEachRow' });
    expect(await rowsOf(table)).toBe(5_000);
  });

  it.each([
    ['JSONEachRow', '{"id":1,"v":"a"}\n{"id":2,"v":"b"}'],
    ['JSONCompactEachRow', '[1,"a"]\n[2,"b"]\n'],
    ['TabSeparated', '1\ta\n2\tb\n'],
    ['TSV', '1\ta\n2\tb'],
    ['TabSeparatedWithNames', 'id\tv\n1\ta\n2\tb\n'],
    ['TabSeparatedWithNamesAndTypes', 'id\tv\nUInt64\tString\n1\ta\n2\tb\n'],
    ['CSV', '1,"a"\n2,b\n'],
    ['CSVWithNames', 'v,id\na,1\nb,2\n'],
    ['Values', "(1, 'a'), (2, lower('B'));"],
    ['RowBinary', Buffer.from('0100000000000000016102000000000000000162', 'hex')],
  ])('%s', async (format, data) => {
    const table = await newTable();
    await exec(`insert into ${table} (id, v) format ${format}`, bytes(data));
    expect(
      await (await client.query({ query: `select id, v from ${table} order by id`, format: 'TabSeparated' })).text(),
    ).toBe('1\ta\n2\tb\n');
  });

  it.each(['Native', 'Parquet', 'ArrowStream', 'RowBinaryWithNamesAndTypes'])(
    '%s, as this engine itself writes it',
    async (format) => {
      const table = await newTable();
      const written = await plainRequest(`${front.url}/?${credentials}`, {
        body: `select number as id, 'x' as v from numbers(1000) format ${format}`,
      });
      await exec(`insert into ${table} (id, v) format ${format}`, bytes(written.body));
      expect(await rowsOf(table)).toBe(1_000);
    },
  );

  it('query and rows in one body, large and small', async () => {
    const table = await newTable();
    for (const [count, from] of [
      [3, 0],
      [20_000, 3],
    ] as const)
      expect(
        (
          await plainRequest(`${front.url}/?${credentials}`, {
            body: `insert into ${table} format JSONEachRow\n${lines(count, from)}`,
          })
        ).status,
      ).toBe(200);
    await client.command({
      query: `insert into ${table} values (100001, 'x', {version:UInt128}, 0)`,
      query_params: { version: 5 },
    });
    expect(await rowsOf(table)).toBe(20_004);
  });

  it.each([
    ['empty lines between rows', '{"id":1,"v":"a"}\n\n{"id":2,"v":"b"}\n\n', 2],
    ['two rows on a line', '{"id":1,"v":"a"}{"id":2,"v":"b"}\n{"id":3,"v":"c"}', 3],
    ['an array', '[{"id":1,"v":"a"},\n{"id":2,"v":"b"}]', 2],
    ['blanks around them', '\n  {"id":1,"v":"a"}  \r\n{"id":2,"v":"b"}  \n', 2],
    ['what ends a statement, and what begins a comment', '{"id":1,"v":"a;-- b\\n/*"}\n{"id":2,"v":"} , {"}\n', 2],
    ['bytes that are no text', Buffer.from('7b226964223a312c2276223a22ff0022207d0a', 'hex'), 1],
  ])('a few rows with %s, each counted', async (_, rows, count) => {
    const table = await newTable();
    await exec(`insert into ${table} (id, v) format JSONEachRow`, bytes(rows));
    expect(await rowsOf(table)).toBe(count);
    expect(await acknowledged(table)).toMatchObject({ inserts: 1, rows: count });
  });

  it('rows through input(), changed on their way', async () => {
    const table = await newTable();
    await exec(
      `insert into ${table} select id, unhex(h), 1, 0 from input('id UInt64, h String') format TabSeparated`,
      bytes('1\t', '6869\n'),
    );
    expect(await oneRow(client, `select v from ${table}`)).toEqual({ v: 'hi' });
  });

  it('compressed bodies, and none of a broken one', async () => {
    const table = await newTable();
    await front
      .client({ compression: { request: true } })
      .insert({ table, values: [{ id: 1, v: 'a' }], format: 'JSONEachRow' });
    const zipped = gzipSync(lines(50_000));
    const url = `${front.url}/?${credentials}&query=${encodeURIComponent(`insert into ${table} format JSONEachRow`)}`;
    const send = async (body: Buffer): Promise<number> =>
      (await plainRequest(url, { headers: { 'Content-Encoding': 'gzip' }, body })).status;
    expect(await send(zipped)).toBe(200);
    expect(await rowsOf(table)).toBe(50_001);
    expect(await send(zipped.subarray(0, zipped.length / 2))).toBe(500);
    expect(await rowsOf(table)).toBe(50_001);
  });

  it('names in quotes, in another database', async () => {
    await client.command({ query: 'create database if not exists `Mixed "Case"`' });
    await client.command({
      query: 'create table `Mixed "Case"`.`format` (`Größe ``x` UInt8) engine = MergeTree order by tuple()',
    });
    const other = front.client({ database: 'Mixed "Case"' });
    await other.insert({
      table: '`format`',
      values: [{ 'Größe `x': 1 }],
      format: 'JSONEachRow',
      columns: ['`Größe ``x`'],
    });
    await exec('insert into "Mixed ""Case""".format (`Größe \\`x`) format TSV', bytes('2\n'));
    expect(await oneRow(other, 'select sum(`Größe ``x`)::UInt8 as n from `format`')).toEqual({ n: 3 });
  });

  it('a row that cannot be parsed keeps all of its insert out', async () => {
    const table = await newTable();
    const values = bytes(lines(100_000), '{"id":"zz"}\n', lines(100_000));
    await expect(exec(`insert into ${table} format JSONEachRow`, values)).rejects.toMatchObject({
      type: expect.stringContaining('CANNOT_PARSE'),
    });
    expect(await rowsOf(table)).toBe(0);
  });
});

describe('what a loader relies on', () => {
  it('a token is inserted once, whatever comes with it, and also into materialized views', async () => {
    const table = await newTable();
    await client.command({
      query: `create table ${table}_seen (id UInt64) engine = MergeTree order by id settings non_replicated_deduplication_window = 100`,
    });
    await client.command({ query: `create materialized view ${table}_mv to ${table}_seen as select id from ${table}` });
    const send = async (token: string, from: number): Promise<unknown> =>
      client.insert({
        table,
        values: [
          { id: from, v: 'x' },
          { id: from + 1, v: 'x' },
        ],
        format: 'JSONEachRow',
        clickhouse_settings: { insert_deduplication_token: token, async_insert: 0, input_format_parallel_parsing: 0 },
      });
    await send('a', 1);
    await send('a', 1);
    await send('a', 11);
    expect([await rowsOf(table), await rowsOf(`${table}_seen`)]).toEqual([2, 2]);
    await send('b', 21);
    expect([await rowsOf(table), await rowsOf(`${table}_seen`)]).toEqual([4, 4]);
  });

  it('an insert of half a million rows is one part, and as many as the settings say', async () => {
    const table = await newTable();
    await client.command({ query: `system stop merges ${table}` });
    const parts = async (): Promise<unknown> =>
      oneRow(
        client,
        `select count()::UInt32 as parts, sum(rows)::UInt32 as rows from system.parts where table = '${table}' and active`,
      );
    await exec(
      `insert into ${table} format JSONEachRow`,
      Readable.from(
        (function* () {
          for (let at = 0; at < 50; at += 1) yield Buffer.from(lines(10_000, at * 10_000));
        })(),
        { objectMode: false },
      ),
    );
    expect(await parts()).toEqual({ parts: 1, rows: 500_000 });
    await client.insert({
      table,
      values: Array.from({ length: 100 }, (_, id) => ({ id, v: 'x' })),
      format: 'JSONEachRow',
      clickhouse_settings: {
        max_insert_block_size: '10',
        min_insert_block_size_rows: '10',
        min_insert_block_size_bytes: '0',
        input_format_parallel_parsing: 0,
      },
    });
    expect(await parts()).toEqual({ parts: 11, rows: 500_100 });
  });

  it('the formats of dates and the handling of NULL follow the request', async () => {
    const table = `d_${randomUUID().replaceAll('-', '')}`;
    await client.command({
      query: `create table ${table} (t DateTime64(6, 'UTC'), n Int8) engine = MergeTree order by tuple()`,
    });
    const insert = async (data: string, clickhouse_settings: Record<string, string | number>): Promise<void> => {
      const { stream } = await client.exec({
        query: `insert into ${table} format TabSeparated`,
        values: bytes(data),
        clickhouse_settings,
      });
      for await (const chunk of stream) void chunk;
    };
    await insert('2026-01-02 03:04:05.678901+02\t1\n', { date_time_input_format: 'best_effort' });
    await expect(insert('2026-01-02 03:04:05.678901+02\t1\n', { date_time_input_format: 'basic' })).rejects.toThrow();
    await expect(insert('2026-01-02 03:04:05\t\\N\n', { input_format_null_as_default: 0 })).rejects.toThrow();
    expect(await oneRow(client, `select toString(t) as t from ${table}`)).toEqual({ t: '2026-01-02 01:04:05.678901' });
  });

  it('acknowledged rows are counted by table', async () => {
    const table = await newTable();
    await client.insert({ table, values: [{ id: 1 }, { id: 2 }], format: 'JSONEachRow' });
    await client.insert({ table: `default.${table}`, values: [{ id: 2 }], format: 'JSONEachRow' });
    await client.insert({ table, values: [{ id: 'x' }], format: 'JSONEachRow' }).catch(() => undefined);
    expect(await acknowledged(table)).toMatchObject({ inserts: 2, rows: 3 });
  });
});

describe('a body cut short inserts nothing', () => {
  const cutShort = async (): Promise<number> =>
    ((await (await fetch(`${front.url}/pg2click/stats`)).json()) as { cutShort: number }).cutShort;
  const target = (table: string, inUrl: boolean): string =>
    `POST /?${credentials}${inUrl ? `&query=${encodeURIComponent(`insert into ${table} format JSONEachRow`)}` : ''} HTTP/1.1`;

  // Small and large: both ways into the spool. The cut is at a row's end, where nothing in the data shows it.
  it.each([
    [10, true],
    [10, false],
    [100_000, true],
    [100_000, false],
  ])('of %i rows, query in the URL: %s', async (count, inUrl) => {
    const table = await newTable();
    const data = Buffer.from((inUrl ? '' : `insert into ${table} format JSONEachRow\n`) + lines(count));
    const before = await cutShort();
    const head = (length: string): string[] => [target(table, inUrl), 'Host: x', length];
    await sendRaw(front.url, head(`Content-Length: ${data.length + 100}`), data, true);
    const chunk = Buffer.concat([Buffer.from(`${data.length.toString(16)}\r\n`), data, Buffer.from('\r\n')]);
    await sendRaw(front.url, head('Transfer-Encoding: chunked'), chunk, true);
    await sendRaw(front.url, head('Transfer-Encoding: chunked'), chunk.subarray(0, chunk.length - 10), true);
    await waitFor(async () => (await cutShort()) === before + 3, {
      deadlineMs: 10_000,
      what: 'three bodies cut short',
    });
    expect(await rowsOf(table)).toBe(0);
    // And whole, the same bytes are inserted.
    const whole = Buffer.concat([chunk, Buffer.from('0\r\n\r\n')]);
    const answer = await sendRaw(front.url, head('Transfer-Encoding: chunked'), whole, false);
    expect(answer).toContain('200 OK');
    expect(await rowsOf(table)).toBe(count);
  });

  it('also when the source of a stream fails', async () => {
    const table = await newTable();
    const failing = Readable.from(
      (async function* () {
        yield { id: 1, v: 'a' };
        await waitFor(async () => true, { deadlineMs: 1_000, what: 'a moment' });
        throw new Error('the source broke');
      })(),
    );
    await expect(client.insert({ table, values: failing, format: 'JSONEachRow' })).rejects.toThrow();
    expect(await rowsOf(table)).toBe(0);
  });
});

describe('many at once', () => {
  it('sixteen streams of rows and sixteen queries go on side by side, and no body is held in memory', async () => {
    const tables = await Promise.all(Array.from({ length: 16 }, newTable));
    const before = peakMegabytes(front.pid);
    const filler = 'x'.repeat(500);
    const inserts = tables.map(async (table) =>
      exec(
        `insert into ${table} (id, v) format TabSeparated`,
        Readable.from(
          (function* () {
            for (let chunk = 0; chunk < 40; chunk += 1)
              yield Buffer.from(Array.from({ length: 500 }, (_, row) => `${chunk * 500 + row}\t${filler}\n`).join(''));
          })(),
          { objectMode: false },
        ),
      ),
    );
    const queries = Array.from({ length: 16 }, async (_, index) => oneRow(client, `select sleep(0.1), ${index} as n`));
    await Promise.all([...inserts, ...queries]);
    expect(await Promise.all(tables.map(rowsOf))).toEqual(tables.map(() => 20_000));
    // 160 MB of bodies.
    if (before !== undefined) expect((peakMegabytes(front.pid) ?? 0) - before).toBeLessThan(600);
  });
});
