import { ClickHouseLogLevel, createClient } from '@clickhouse/client';
import type { ClickHouseClient } from '@clickhouse/client';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { composeVersion } from '../../src/domain/version.js';
import { CLICKHOUSE_CODES } from '../../src/failure/clickhouse-codes.js';
import { Failure } from '../../src/failure/failure.js';
import { insertValues } from '../../src/clickhouse/insert.js';
import { createTarget } from '../../src/clickhouse/target.js';
import { clickhouseOptions } from '../support/clients.js';
import { column, openSink, targetTableOf, rowsOf } from '../support/sink.js';
import { addressOf, freshName } from '../support/stack.js';
import { openWire } from '../support/wire.js';

const sink = await openSink('insert');
const wire = await openWire(sink);
const { ch, database } = sink;
const MEGABYTE = 1_000_000;
const QUIET = { level: ClickHouseLogLevel.OFF };

const COLUMNS = [
  column('id', 'bigint'),
  column('name', 'text'),
  column('amount', 'numeric', { precision: 10, scale: 2, nullable: true }),
  column('at', 'timestamp with time zone', { nullable: true }),
];

async function newTarget(): Promise<{ replica: TargetTable; table: string }> {
  const replica = targetTableOf(sink, COLUMNS);
  await createTarget(ch, replica);
  const table = `${database}.${replica.target.table}`;
  await ch.command({ query: `system stop merges ${table}` });
  return { replica, table };
}

const row = (id: number, more: Record<string, unknown> = {}): Buffer =>
  Buffer.from(
    JSON.stringify({
      id,
      name: `n${id}`,
      amount: '1.50',
      at: null,
      _version: String(composeVersion(1, 1n)),
      _deleted: 0,
      ...more,
    }),
  );
const rows = (count: number): Buffer[] => Array.from({ length: count }, (_, index) => row(index));

const insert = (
  client: ClickHouseClient,
  table: TargetTable,
  values: readonly Buffer[],
  more: { token?: string; signal?: AbortSignal } = {},
): Promise<void> =>
  insertValues(client, table, {
    values,
    token: more.token ?? freshName('token'),
    signal: more.signal ?? new AbortController().signal,
  });

const countOf = async (table: string): Promise<number> =>
  Number((await rowsOf<{ n: string }>(sink, `select count() as n from ${table}`))[0]?.n);
const partsOf = async (table: TargetTable): Promise<number> =>
  Number(
    (
      await rowsOf<{ n: string }>(
        sink,
        `select count() as n from system.parts where active and database = '${database}' and table = '${table.target.table}'`,
      )
    )[0]?.n,
  );

describe('an insert', () => {
  test('holds single rows and packed blocks alike', async () => {
    const { replica, table } = await newTarget();
    const packed = Buffer.concat([row(1), Buffer.from('\n'), row(2), Buffer.from('\n'), row(3)]);
    const values = [packed, row(4)];
    await insert(ch, replica, values);
    await insert(ch, replica, []);
    expect(await countOf(table)).toBe(4);
  });

  test('goes chunked, in chunks of many rows, never with a length that could be cut short', async () => {
    const { replica: table } = await newTarget();
    wire.inserts.length = 0;
    const values = rows(20_000);
    const bytes = values.reduce((sum, value) => sum + value.length + 1, 0);
    await insert(wire.ch, table, values);
    const [seen] = wire.inserts;
    expect(seen?.headers['transfer-encoding']).toBe('chunked');
    expect(seen?.headers['content-length']).toBeUndefined();
    expect(seen?.bytes).toBe(bytes);
    expect(seen?.chunks).toBeLessThan(bytes / 10_000);
  });

  test('holds a value larger than a chunk', async () => {
    const { replica, table } = await newTarget();
    const long = 'x'.repeat(3 * MEGABYTE);
    await insert(ch, replica, [row(1), row(2, { name: long }), row(3)]);
    expect(await rowsOf(sink, `select length(name) as n from ${table} order by id`)).toEqual([
      { n: 2 },
      { n: 3 * MEGABYTE },
      { n: 2 },
    ]);
  });

  test('sends the settings it rests on, and only those that the server knows', async () => {
    const { replica: table } = await newTarget();
    wire.inserts.length = 0;
    await insert(wire.ch, table, [row(1)], { token: 'one two' });
    const sent = Object.fromEntries(wire.inserts[0]?.parameters ?? []);
    expect(sent).toMatchObject({
      async_insert: '0',
      insert_deduplication_token: 'one two',
      deduplicate_insert: 'enable',
      insert_deduplicate: '1',
      deduplicate_blocks_in_dependent_materialized_views: '1',
      max_insert_block_size: '1048576',
      min_insert_block_size_rows: '1048576',
      min_insert_block_size_bytes: '0',
      input_format_parallel_parsing: '0',
      input_format_connection_handling: '0',
      input_format_null_as_default: '0',
      input_format_skip_unknown_fields: '0',
      input_format_defaults_for_omitted_fields: '1',
      input_format_allow_errors_num: '0',
      date_time_input_format: 'best_effort',
      materialized_views_ignore_errors: '0',
      wait_end_of_query: '1',
    });
    const known = new Set(
      (await rowsOf<{ name: string }>(sink, `select name from system.settings`)).map(({ name }) => name),
    );
    const parameters = new Set(['query', 'query_id', 'database', 'wait_end_of_query']);
    expect(Object.keys(sent).filter((name) => !known.has(name) && !parameters.has(name))).toEqual([]);
  });
});

describe('whatever the profile of the user says', async () => {
  const hostile = await openWire(sink, {
    async_insert: 1,
    max_insert_block_size: '100',
    min_insert_block_size_rows: '100',
    min_insert_block_size_bytes: '1000',
    input_format_parallel_parsing: 1,
    min_chunk_bytes_for_parallel_parsing: '1000',
    input_format_null_as_default: 1,
    input_format_skip_unknown_fields: 1,
    input_format_defaults_for_omitted_fields: 0,
    input_format_allow_errors_num: '100',
    input_format_allow_errors_ratio: 0.5,
    input_format_json_empty_as_default: 1,
    input_format_column_name_matching_mode: 'ignore_case',
    date_time_input_format: 'basic',
    deduplicate_insert: 'disable',
    insert_deduplicate: 0,
    materialized_views_ignore_errors: 1,
  });

  test('one insert is one block', async () => {
    const { replica, table } = await newTarget();
    await insert(hostile.ch, replica, rows(50_000));
    expect(await countOf(table)).toBe(50_000);
    expect(await partsOf(replica)).toBe(1);
  });

  test('a row that cannot be read is never skipped', async () => {
    const { replica, table } = await newTarget();
    const values = [row(1), row(2, { amount: 'x' }), row(3)];
    await expect(insert(hostile.ch, replica, values)).rejects.toMatchObject({ kind: 'RowRefused' });
    expect(await countOf(table)).toBe(0);
  });

  test('a column that the target does not have is never dropped, and capitals count', async () => {
    const { replica: table } = await newTarget();
    for (const more of [{ unknown: 1 }, { name: undefined, NAME: 'x' }])
      await expect(insert(hostile.ch, table, [row(1, more)])).rejects.toMatchObject({ kind: 'SchemaMismatch' });
  });

  test('a NULL never becomes the default of a text', async () => {
    const { replica, table } = await newTarget();
    await expect(insert(hostile.ch, replica, [row(1, { name: null })])).rejects.toBeInstanceOf(Failure);
    expect(await countOf(table)).toBe(0);
  });

  test('time zones are read', async () => {
    const { replica, table } = await newTarget();
    await insert(hostile.ch, replica, [row(1, { at: '2024-01-01 12:00:00.25+02' })]);
    expect(await rowsOf(sink, `select at from ${table}`)).toEqual([{ at: '2024-01-01 10:00:00.250000' }]);
  });

  test('a tombstone needs its key only, and columns left out get their defaults', async () => {
    const { replica, table } = await newTarget();
    await ch.command({ query: `alter table ${table} add column loaded String default concat('row ', toString(id))` });
    const tombstone = Buffer.from(`{"id":7,"_version":"${composeVersion(1, 2n)}","_deleted":1}`);
    await insert(hostile.ch, replica, [tombstone]);
    expect(await rowsOf(sink, `select id, name, amount, loaded, _deleted from ${table}`)).toEqual([
      { id: 7, name: '', amount: null, loaded: 'row 7', _deleted: 1 },
    ]);
  });

  test('a repeat is dropped', async () => {
    const { replica, table } = await newTarget();
    for (let times = 0; times < 2; times += 1) await insert(hostile.ch, replica, rows(10), { token: 'a' });
    expect(await countOf(table)).toBe(10);
  });
});

describe('a token', () => {
  test('makes a repeat harmless, in the table and in its materialized views', async () => {
    const { replica, table } = await newTarget();
    await ch.command({
      query: `create table ${table}_sums (id Int64) engine = MergeTree order by id settings non_replicated_deduplication_window = 100`,
    });
    await ch.command({ query: `create materialized view ${table}_view to ${table}_sums as select id from ${table}` });
    const values = rows(1_000);
    for (let times = 0; times < 3; times += 1) await insert(ch, replica, values, { token: 'same' });
    expect([await countOf(table), await countOf(`${table}_sums`)]).toEqual([1_000, 1_000]);
    await insert(ch, replica, values, { token: 'other' });
    expect([await countOf(table), await countOf(`${table}_sums`)]).toEqual([2_000, 2_000]);
  });

  test('lets a repeat repair a materialized view that failed after the table had the rows', async () => {
    const { replica, table } = await newTarget();
    await ch.command({ query: `create table ${table}_gate (open UInt8) engine = MergeTree order by open` });
    await ch.command({
      query: `create table ${table}_sums (id Int64) engine = MergeTree order by id settings non_replicated_deduplication_window = 100`,
    });
    await ch.command({
      query: `create materialized view ${table}_view to ${table}_sums as
        select id from ${table} where throwIf((select count() from ${table}_gate) = 0, 'closed') = 0`,
    });
    const values = rows(6);
    await expect(insert(ch, replica, values, { token: 'same' })).rejects.toMatchObject({ kind: 'Unexpected' });
    await ch.command({ query: `insert into ${table}_gate values (1)` });
    await insert(ch, replica, values, { token: 'same' });
    expect([await countOf(table), await countOf(`${table}_sums`)]).toEqual([6, 6]);
  });
});

describe('what ClickHouse refuses', () => {
  const SECRET = 'rosebud';

  test.each([
    ['an unknown column', { [SECRET]: 1 }, 'SchemaMismatch', 'at row 2 of the insert'],
    ['a text for a number', { id: SECRET }, 'RowRefused', 'at row 2 of the insert, column "id"'],
    ['a text for a decimal', { amount: SECRET }, 'RowRefused', 'at row 2 of the insert, column "amount"'],
    ['too many digits', { amount: '123456789012' }, 'RowRefused', 'column "amount"'],
    ['a text for a time', { at: SECRET }, 'RowRefused', 'column "at"'],
    ['null where none may be', { name: null }, 'SchemaMismatch', 'column "name"'],
  ])('%s: is told by place, never by value', async (_what, more, kind, place) => {
    const { replica, table } = await newTarget();
    const values = [row(1), row(2, { name: SECRET, ...more }), row(3, { name: SECRET })];
    const failure = await insert(ch, replica, values).catch((error: unknown) => error as Failure);
    expect(failure).toMatchObject({ kind, message: expect.stringContaining(place) });
    if (!(failure instanceof Failure)) throw failure;
    const cause = failure.cause as Error;
    const printed = [failure.message, failure.stack, cause.message, cause.stack];
    printed.push(JSON.stringify([failure, cause, pino.stdSerializers.err(failure)]));
    expect(printed.join('\n')).not.toContain(SECRET);
    expect(await countOf(table), 'all of the insert, or none').toBe(0);
  });

  test('every code that we know is called in ClickHouse as we call it', async () => {
    const codes = Object.entries(CLICKHOUSE_CODES).map(([code, [name]]) => ({ code: Number(code), name }));
    const list = codes.map(({ code }) => `toUInt32(${code})`).join(', ');
    expect(
      await rowsOf(sink, `select toUInt32(arrayJoin([${list}]) as c) as code, errorCodeToName(c) as name`),
    ).toEqual(codes);
  });

  test('a table that is gone has lost what was confirmed', async () => {
    const { replica, table } = await newTarget();
    await ch.command({ query: `drop table ${table} sync` });
    await expect(insert(ch, replica, [row(1)])).rejects.toMatchObject({ kind: 'SinkSetBack' });
    const elsewhere = { ...replica, target: { ...replica.target, database: freshName('gone') } };
    await expect(insert(ch, elsewhere, [row(1)])).rejects.toMatchObject({ kind: 'SinkSetBack' });
  });

  test('a materialized view without its table is not a table that is gone', async () => {
    const { replica, table } = await newTarget();
    await ch.command({ query: `create table ${table}_sums (id Int64) engine = MergeTree order by id` });
    await ch.command({ query: `create materialized view ${table}_view to ${table}_sums as select id from ${table}` });
    await ch.command({ query: `drop table ${table}_sums sync` });
    await expect(insert(ch, replica, [row(1)])).rejects.toMatchObject({
      kind: 'SchemaMismatch',
      message: expect.stringContaining('materialized view'),
    });
  });

  test('a wrong password is a refused login, not an outage', async () => {
    const { replica: table } = await newTarget();
    const stranger = createClient({ ...clickhouseOptions(addressOf('clickhouse')), password: 'wrong', log: QUIET });
    try {
      await expect(insert(stranger, table, [row(1)])).rejects.toMatchObject({ kind: 'LoginRefused' });
    } finally {
      await stranger.close();
    }
  });
});

describe('a connection', () => {
  test('that nobody answers is an outage', async () => {
    const { replica: table } = await newTarget();
    const nobody = createClient({ url: 'http://127.0.0.1:9', log: QUIET });
    try {
      await expect(insert(nobody, table, [row(1)])).rejects.toMatchObject({ kind: 'SinkUnavailable' });
    } finally {
      await nobody.close();
    }
  });

  test('cut within the body leaves nothing behind, and the same again is loaded', async () => {
    const { replica, table } = await newTarget();
    const values = rows(20_000);
    wire.next = { kind: 'cut-request', afterBytes: 500_000 };
    await expect(insert(wire.ch, replica, values, { token: 'a' })).rejects.toMatchObject({ kind: 'SinkUnavailable' });
    expect(await countOf(table)).toBe(0);
    await insert(wire.ch, replica, values, { token: 'a' });
    expect(await countOf(table)).toBe(20_000);
  });

  test('that dies before the answer leaves the outcome open, and the same again is not loaded twice', async () => {
    const { replica, table } = await newTarget();
    wire.next = { kind: 'lose-answer' };
    await expect(insert(wire.ch, replica, rows(100), { token: 'a' })).rejects.toMatchObject({
      kind: 'SinkUnavailable',
    });
    expect(await countOf(table)).toBe(100);
    await insert(wire.ch, replica, rows(100), { token: 'a' });
    expect(await countOf(table)).toBe(100);
  });

  test('to a proxy that answers in its own words is an outage, and its words are not ours', async () => {
    const { replica: table } = await newTarget();
    wire.next = {
      kind: 'answer',
      respond: (request, response) => {
        request.resume().on('end', () => response.writeHead(502).end('<html>Bad gateway, rosebud</html>'));
      },
    };
    const failure = await insert(wire.ch, table, [row(1)]).catch((error: unknown) => error as Failure);
    expect(failure).toMatchObject({ kind: 'SinkUnavailable', message: expect.not.stringContaining('rosebud') });
  });

  test('whose error comes after status 200 is an error', async () => {
    const { replica: table } = await newTarget();
    wire.next = {
      kind: 'answer',
      respond: (request, response) => {
        request.resume().on('end', () => {
          response.writeHead(200);
          response.end('Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)\n');
        });
      },
    };
    await expect(insert(wire.ch, table, [row(1)])).rejects.toMatchObject({ kind: 'SinkBusy' });
  });

  test('whose error comes before the body was sent is that error, not an outage', async () => {
    const { replica: table } = await newTarget();
    wire.next = {
      kind: 'answer',
      respond: (request, response) => {
        request.once('data', () => {
          response.writeHead(400, { connection: 'close', 'x-clickhouse-exception-code': '27' });
          response.end(
            'Code: 27. DB::Exception: Cannot parse input: (at row 1) (CANNOT_PARSE_INPUT_ASSERTION_FAILED)',
            () => request.destroy(),
          );
          request.pause();
        });
      },
    };
    await expect(insert(wire.ch, table, rows(200_000))).rejects.toMatchObject({ kind: 'RowRefused' });
  });

  test('is given up at once when the caller gives up, before and while it is used', async () => {
    const { replica, table } = await newTarget();
    const reason = new Error('enough');
    await expect(insert(wire.ch, replica, [row(1)], { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    wire.next = { kind: 'stall' };
    const abort = new AbortController();
    setTimeout(() => abort.abort(reason), 50);
    const startedAt = Date.now();
    await expect(insert(wire.ch, replica, rows(50_000), { signal: abort.signal })).rejects.toBe(reason);
    expect(Date.now() - startedAt).toBeLessThan(2_000);
    expect(await countOf(table)).toBe(0);
  });
});
