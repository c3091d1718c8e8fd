import { randomUUID } from 'node:crypto';
import { gunzipSync } from 'node:zlib';
import type { ClickHouseClient, Row } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { oneRow, peakMegabytes, plainRequest, startFront, type TestFront } from '../support/clickhouse-front.js';
import { waitFor } from '../support/wait-for.js';

const ENDLESS = 'select count() from numbers(1000000000000)';

let front: TestFront;
let client: ClickHouseClient;

beforeAll(async () => {
  front = await startFront();
  client = front.client();
});

afterAll(async () => front.dispose());

/** The texts of the queries that carry a mark, as the engine lists them. */
async function running(mark: string): Promise<string[]> {
  const result = await client.query({
    query: `select query from system.processes where position(query, '${mark}') > 0 and position(query, 'system.processes') = 0`,
    format: 'JSONEachRow',
  });
  return (await result.json<{ query: string }>()).map(({ query }) => query);
}

const untilRunning = async (mark: string, count: 0 | 1): Promise<unknown> =>
  waitFor(
    async (see) => {
      const queries = await running(mark);
      see(queries);
      return queries.length === count;
    },
    { deadlineMs: 20_000, what: `${count} running queries marked ${mark}` },
  );

describe('a client is known by its password', () => {
  it('answers ping to everybody, and to a select only with the password', async () => {
    expect(await client.ping()).toEqual({ success: true });
    expect(await client.ping({ select: true })).toEqual({ success: true });
    expect(await front.client({ password: 'wrong' }).ping({ select: true })).toMatchObject({
      success: false,
      error: { code: '516', type: 'AUTHENTICATION_FAILED' },
    });
    for (const path of ['/', '/ping', '/replicas_status'])
      expect((await plainRequest(front.url + path, { method: 'GET' })).body.toString()).toBe('Ok.\n');
  });

  it.each([
    ['Basic', { Authorization: `Basic ${Buffer.from('default:front-test').toString('base64')}` }, '', 200],
    ['its own headers', { 'X-ClickHouse-User': 'default', 'X-ClickHouse-Key': 'front-test' }, '', 200],
    ['the URL', {}, '&user=default&password=front-test', 200],
    ['a wrong Basic', { Authorization: `Basic ${Buffer.from('default:x').toString('base64')}` }, '', 403],
    ['another user', { 'X-ClickHouse-User': 'other', 'X-ClickHouse-Key': 'front-test' }, '', 403],
    ['nothing', {}, '', 403],
  ])('takes credentials from %s', async (_, headers, parameters, status) => {
    const answer = await plainRequest(`${front.url}/?query=select%201${parameters}`, {
      headers: headers as Record<string, string>,
    });
    expect(answer.status).toBe(status);
  });
});

describe('results', () => {
  it.each([
    [
      'JSONEachRow',
      [
        { n: 0, s: 'a\tb' },
        { n: 1, s: 'a\tb' },
      ],
    ],
    [
      'JSONCompactEachRow',
      [
        [0, 'a\tb'],
        [1, 'a\tb'],
      ],
    ],
    [
      'JSONCompactEachRowWithNames',
      [
        ['n', 's'],
        [0, 'a\tb'],
        [1, 'a\tb'],
      ],
    ],
  ] as const)('come row by row as %s', async (format, rows) => {
    expect(
      await (await client.query({ query: "select toUInt8(number) as n, 'a\\tb' as s from numbers(2)", format })).json(),
    ).toEqual(rows);
  });

  it('come with their header and footer as JSON, CSVWithNames and Parquet', async () => {
    const query = 'select toUInt8(number) as n from numbers(2)';
    expect(await (await client.query({ query, format: 'JSON' })).json()).toMatchObject({
      data: [{ n: 0 }, { n: 1 }],
      rows: 2,
    });
    expect(await (await client.query({ query, format: 'CSVWithNames' })).text()).toBe('"n"\n0\n1\n');
    const parquet = await plainRequest(`${front.url}/?user=default&password=front-test`, {
      body: `${query} format Parquet`,
    });
    expect([parquet.body.subarray(0, 4).toString(), parquet.body.subarray(-4).toString()]).toEqual(['PAR1', 'PAR1']);
  });

  it('carry the headers that a server sends', async () => {
    const queryId = randomUUID();
    const answer = await plainRequest(`${front.url}/?user=default&password=front-test&query_id=${queryId}`, {
      body: 'select number from numbers(3) format JSONEachRow',
    });
    expect(answer.headers).toMatchObject({
      'x-clickhouse-query-id': queryId,
      'x-clickhouse-format': 'JSONEachRow',
      'content-type': 'application/x-ndjson; charset=UTF-8',
      'x-clickhouse-timezone': expect.any(String),
      'x-clickhouse-server-display-name': expect.any(String),
    });
    expect(JSON.parse(answer.headers['x-clickhouse-summary'] ?? '')).toMatchObject({
      read_rows: '3',
      written_rows: '0',
    });
  });

  it('are empty where there are no rows, and show what is not a select', async () => {
    expect(await (await client.query({ query: 'select 1 where 0', format: 'JSONEachRow' })).json()).toEqual([]);
    expect(await (await client.query({ query: 'show databases', format: 'TabSeparated' })).text()).toContain('default');
    expect(await (await client.query({ query: 'explain select 1', format: 'TabSeparated' })).text()).not.toBe('');
    expect(await (await client.query({ query: 'exists table system.one', format: 'TabSeparated' })).text()).toBe('1\n');
  });

  it('are compressed when both the setting and the header ask for it', async () => {
    const credentials = 'user=default&password=front-test';
    const query = encodeURIComponent('select number from numbers(1000)');
    const headers = { 'Accept-Encoding': 'gzip' };
    const zipped = await plainRequest(`${front.url}/?${credentials}&enable_http_compression=1&query=${query}`, {
      method: 'GET',
      headers,
    });
    expect(zipped.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(zipped.body).toString().split('\n')).toHaveLength(1001);
    const plain = await plainRequest(`${front.url}/?${credentials}&query=${query}`, { method: 'GET', headers });
    expect(plain.headers['content-encoding']).toBeUndefined();
    const rows = await front
      .client({ compression: { response: true } })
      .query({ query: 'select number from numbers(100000)', format: 'JSONEachRow' });
    expect(await rows.json()).toHaveLength(100_000);
  });

  it('of millions of rows stream through without being held', async () => {
    const before = peakMegabytes(front.pid);
    const result = await client.query({
      query: "select number, repeat('x', 100) as s from numbers(5000000)",
      format: 'JSONEachRow',
    });
    let rows = 0;
    for await (const chunk of result.stream() as AsyncIterable<Row[]>) rows += chunk.length;
    expect(rows).toBe(5_000_000);
    // The result is 630 MB; the engine formats some blocks ahead.
    if (before !== undefined) expect((peakMegabytes(front.pid) ?? 0) - before).toBeLessThan(300);
  });

  it('wait for a slow client', async () => {
    const result = await client.query({
      query: "select repeat('x', 100) as s from numbers(1500000) /* slow client */",
      format: 'JSONEachRow',
    });
    const rows = result.stream()[Symbol.asyncIterator]() as AsyncIterator<Row[]>;
    await rows.next();
    // Nobody reads on: the engine is still at it, held back by the pipe.
    await untilRunning('slow client', 1);
    let more = 0;
    for (let next = await rows.next(); next.done !== true; next = await rows.next()) more += next.value.length;
    expect(more).toBeGreaterThan(1_000_000);
  });
});

describe('errors', () => {
  it.each([
    ['select * from nope', '60', 'UNKNOWN_TABLE', 404],
    ['select nope', '47', 'UNKNOWN_IDENTIFIER', 404],
    ['insert into nope values (1)', '60', 'UNKNOWN_TABLE', 404],
    ['select 1; select 2', '62', 'SYNTAX_ERROR', 400],
    ['select {x:UInt8}', '456', 'UNKNOWN_QUERY_PARAMETER', 500],
    ["select throwIf(1, 'stop')", '395', 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO', 500],
    ['select 1 settings nope = 1', '115', 'UNKNOWN_SETTING', 404],
    ['use nope', '81', 'UNKNOWN_DATABASE', 404],
  ])('%s', async (query, code, type, status) => {
    await expect(client.command({ query })).rejects.toMatchObject({ name: 'Error', code, type });
    const answer = await plainRequest(`${front.url}/?user=default&password=front-test`, { body: query });
    expect([answer.status, answer.headers['x-clickhouse-exception-code']]).toEqual([status, code]);
    expect(answer.body.toString()).toMatch(
      /^Code: \d+\. DB::Exception: [\s\S]+ \([A-Z_]+\) \(version 2\d\.\d+\.[\d.]+\)\n$/,
    );
  });

  it('speak of the query as it was written', async () => {
    await expect(client.command({ query: 'select 1 frm t' })).rejects.toThrow(/failed at position 14 \(t\)/);
    await expect(client.query({ query: 'selec 1', format: 'JSON' })).rejects.not.toThrow(/outfile/i);
  });

  it('about an unknown format come at once, again and again', async () => {
    // The engine opens and closes the way out twice before it says so.
    for (let again = 0; again < 20; again += 1)
      await expect(client.command({ query: 'select 1 format Nope' })).rejects.toMatchObject({ type: 'UNKNOWN_FORMAT' });
    expect(await oneRow(client, 'select 1 as n')).toEqual({ n: 1 });
  });

  it('in the middle of a stream reach the client with their code', async () => {
    const result = await client.query({
      query: 'select throwIf(number = 900000), number from numbers(1000000)',
      format: 'JSONEachRow',
      clickhouse_settings: { max_threads: 1 },
    });
    await expect(async () => {
      for await (const rows of result.stream()) void rows;
    }).rejects.toMatchObject({ code: '395', type: 'FUNCTION_THROW_IF_VALUE_IS_NON_ZERO' });
  });

  it('never come late with wait_end_of_query', async () => {
    const answer = await plainRequest(`${front.url}/?user=default&password=front-test&wait_end_of_query=1`, {
      body: 'select throwIf(number = 900000), number from numbers(1000000) settings max_threads = 1',
    });
    expect(answer.status).toBe(500);
    const whole = await plainRequest(`${front.url}/?user=default&password=front-test&wait_end_of_query=1`, {
      body: 'select number from numbers(1000000) format TSV',
    });
    expect(whole.body.toString().split('\n')).toHaveLength(1_000_001);
  });

  it('refuse what a GET may not do', async () => {
    const query = encodeURIComponent('create table got (a Int8) engine = Memory');
    const answer = await plainRequest(`${front.url}/?user=default&password=front-test&query=${query}`, {
      method: 'GET',
    });
    expect(answer.headers['x-clickhouse-exception-code']).toBe('164');
  });
});

describe('what a request says is said to its query only', () => {
  it('parameters of every kind arrive as they were', async () => {
    const text = `it's "a"\t\\b\nü {x:y}; -- `;
    const query =
      'select {text:String} as text, {list:Array(String)} as list, {none:Nullable(Int8)} as none, {big:UInt128}::String as big, {t:Identifier}.dummy as one from system.one as {t:Identifier}';
    const query_params = { text, list: [text, 'b'], none: null, big: 2n ** 120n, t: 'weird `name' };
    const expected = [{ text, list: [text, 'b'], none: null, big: String(2n ** 120n), one: 0 }];
    const format = 'JSONEachRow';
    expect(await (await client.query({ query, query_params, format })).json()).toEqual(expected);
    expect(await (await client.query({ query, query_params, format, use_multipart_params: true })).json()).toEqual(
      expected,
    );
  });

  it('parameters of one request are unknown to the next', async () => {
    await client.query({ query: 'select {leak:String}', query_params: { leak: 'x' } });
    await expect(client.query({ query: 'select {leak:String}' })).rejects.toMatchObject({ code: '456' });
  });

  it('settings and the database of one request are unknown to the next', async () => {
    await client.command({ query: 'create database if not exists other' });
    const query = "select getSetting('max_block_size')::UInt32 as size, currentDatabase() as database";
    const seen = async (using: ClickHouseClient, size?: number): Promise<unknown> => {
      const result = await using.query({
        query,
        format: 'JSONEachRow',
        clickhouse_settings: size === undefined ? {} : { max_block_size: String(size) },
      });
      return (await result.json())[0];
    };
    const other = front.client({ database: 'other' });
    const ordinary = await seen(client);
    expect(await seen(other, 77)).toEqual({ size: 77, database: 'other' });
    expect(await seen(other, 78)).toEqual({ size: 78, database: 'other' });
    expect(await seen(client)).toEqual(ordinary);
    // A SET without a session is forgotten, too.
    await client.command({ query: 'set max_block_size = 79' });
    expect(await seen(client)).toEqual(ordinary);
  });

  it('a setting, a database and a role that do not exist are named', async () => {
    const clickhouse_settings = { nope: 1 } as Record<string, number>;
    await expect(client.query({ query: 'select 1', clickhouse_settings })).rejects.toMatchObject({
      type: 'UNKNOWN_SETTING',
    });
    await expect(front.client({ database: 'nope' }).query({ query: 'select 1' })).rejects.toMatchObject({
      type: 'UNKNOWN_DATABASE',
    });
    await expect(client.query({ query: 'select 1', role: ['nope'] })).rejects.toMatchObject({ type: 'UNKNOWN_ROLE' });
  });
});

describe('a session_id', () => {
  it('keeps SET and temporary tables, and nothing that only a URL said', async () => {
    const session = front.client({ session_id: randomUUID() });
    await session.command({ query: 'create temporary table kept (a Int8)' });
    await session.command({ query: 'set max_block_size = 1234' });
    await session.insert({
      table: 'kept',
      values: [{ a: 7 }],
      format: 'JSONEachRow',
      clickhouse_settings: { max_block_size: '5' },
    });
    const query = "select a, getSetting('max_block_size')::UInt32 as size from kept";
    expect(await oneRow(session, query)).toEqual({ a: 7, size: 1234 });
    await expect(client.query({ query })).rejects.toMatchObject({ type: 'UNKNOWN_TABLE' });
    await expect(front.client({ session_id: randomUUID() }).query({ query })).rejects.toMatchObject({
      type: 'UNKNOWN_TABLE',
    });
  });

  it('and a query_id are free again as soon as their answer has come', async () => {
    const session = front.client({ session_id: randomUUID() });
    for (let request = 0; request < 50; request += 1) {
      const clickhouse_settings = { max_block_size: String(1000 + request) };
      const result = await session.query({ query: 'select 1', query_id: 'again', clickhouse_settings });
      await result.text();
    }
  });

  it('serves one request at a time, ends with its timeout, and may be required to exist', async () => {
    const id = randomUUID();
    const ask = async (query: string, more = ''): Promise<string | undefined> =>
      (await plainRequest(`${front.url}/?user=default&password=front-test&session_id=${id}${more}`, { body: query }))
        .headers['x-clickhouse-exception-code'];
    expect(await ask('select 1', '&session_check=1')).toBe('372');
    const slow = ask('select sleep(1)');
    await waitFor(async () => (await ask('select 1')) === '373', {
      deadlineMs: 5_000,
      what: 'the session to be locked',
    });
    expect(await slow).toBeUndefined();
    expect(await ask('select 1', '&session_check=1&session_timeout=0')).toBeUndefined();
    await waitFor(async () => (await ask('select 1', '&session_check=1&session_timeout=0')) === '372', {
      deadlineMs: 5_000,
      what: 'the session to end',
    });
    expect(await ask('select 1', '&session_timeout=99999')).toBe('374');
  });
});

describe('a query ends when it is not wanted any more', () => {
  it('because its client aborted', async () => {
    const abort = new AbortController();
    const query = client.query({ query: `${ENDLESS} /* aborted */`, abort_signal: abort.signal });
    await untilRunning('aborted', 1);
    abort.abort();
    await expect(query).rejects.toThrow('aborted');
    await untilRunning('aborted', 0);
  });

  it('because its client stopped reading a stream', async () => {
    const result = await client.query({
      query: "select repeat('x', 100) from numbers(100000000) /* half read */",
      format: 'TabSeparated',
    });
    for await (const rows of result.stream()) {
      void rows;
      break;
    }
    await untilRunning('half read', 0);
  });

  it('because another client killed it by its id, with SYNC also', async () => {
    for (const mode of ['sync', 'async']) {
      const query_id = randomUUID();
      const query = client.query({ query: ENDLESS, query_id });
      await expect(client.query({ query: 'select 1', query_id })).rejects.toMatchObject({
        type: 'QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING',
      });
      const killed = client.query({
        query: `kill query where query_id = '${query_id}' ${mode}`,
        format: 'JSONEachRow',
      });
      await expect(query).rejects.toMatchObject({ code: '394', type: 'QUERY_WAS_CANCELLED' });
      expect(await (await killed).json()).toEqual([
        { kill_status: mode === 'sync' ? 'finished' : 'waiting', query_id, user: 'default', query: '' },
      ]);
    }
  });

  it('and more queries than threads wait for each other without harm', async () => {
    const results = Array.from({ length: 80 }, async (_, index) =>
      oneRow<{ n: number }>(client, `select sleep(0.05), ${index} as n`),
    );
    expect((await Promise.all(results)).map(({ n }) => n)).toEqual(Array.from({ length: 80 }, (_, index) => index));
  });
});
