import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import { afterAll, expect, it, onTestFinished } from 'vitest';
import { createTarget } from '../../src/clickhouse/target.js';
import { insertCopy } from '../../src/clickhouse/insert-copy.js';
import { insertValues } from '../../src/clickhouse/insert.js';
import { connectClickHouse } from '../../src/connect/clickhouse.js';
import { composeVersion } from '../../src/domain/version.js';
import { Secret } from '../../src/settings/secret.js';
import { column, rowsOf, targetTableOf } from '../support/sink.js';
import { freshSink } from '../support/stack.js';

const address = await freshSink('long');
const sink = { ch: openAt(address.url), database: address.database };
afterAll(() => sink.ch.close());

function openAt(url: string): ClickHouseClient {
  const { database, user, password } = address;
  const clickhouse = { url, database, user, password: new Secret(password), tls: undefined };
  return connectClickHouse({ clickhouse } as unknown as Parameters<typeof connectClickHouse>[0]);
}

/** A balancer that takes no URL above a limit. @returns a client that reaches ClickHouse by it */
async function behindBalancer(limit: number) {
  const server = createServer((asked, answer) => {
    if ((asked.url ?? '').length > limit) {
      asked.resume();
      answer.writeHead(414, { 'content-type': 'text/html' });
      return void answer.end('<html><h1>414 Request-URI Too Large</h1></html>');
    }
    const to = new URL(asked.url ?? '/', address.url);
    const sent = request(to, { method: asked.method, headers: { ...asked.headers, host: to.host } }, (got) => {
      answer.writeHead(got.statusCode ?? 500, got.headers);
      got.pipe(answer);
    });
    asked.pipe(sent);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const ch = openAt(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  onTestFinished(async () => {
    await ch.close();
    server.close();
  });
  return ch;
}

/** 1,590 is the most that PostgreSQL has of a fixed width. */
const MANY = 1_590;
const wide = () =>
  targetTableOf(
    sink,
    Array.from({ length: MANY }, (_, n) =>
      column(n === 0 ? 'id' : `a_rather_long_column_name_of_forty_chars_${String(n).padStart(4, '0')}`, 'integer'),
    ),
    { key: ['id'] },
  );
const signal = new AbortController().signal;

it('a table of very many columns is copied and loaded through a balancer that limits the URL to 8 KB', async () => {
  const ch = await behindBalancer(8_192);
  const table = wide();
  await createTarget(ch, table);
  const version = String(composeVersion(1, 7n));
  const line = (id: number): string =>
    [id, ...Array.from({ length: MANY - 1 }, (_, n) => n + 1), version, 0].join('\t');
  const copied = await insertCopy(ch, table, Readable.from([Buffer.from(`${line(1)}\n${line(2)}\n`)]), {
    signal,
    onProgress: () => undefined,
  });
  expect(copied.rows).toBe(2);
  await insertValues(ch, table, {
    values: [Buffer.from(line(3))],
    encoding: 'TabSeparated',
    names: [...table.columns.map(({ name }) => name), '_version', '_deleted'],
    columns: table.columns,
    token: 'third',
    signal,
    attempt: 1,
  });
  const last = table.columns.at(-1)?.name;
  expect(
    await rowsOf(sink, `select id, ${last} as last from ${table.target.database}.${table.target.table} order by id`),
  ).toEqual([1, 2, 3].map((id) => ({ id, last: MANY - 1 })));
});

it('a limit below what every request needs is named', async () => {
  const ch = await behindBalancer(500);
  const table = targetTableOf(sink, [column('id', 'integer')]);
  await createTarget(sink.ch, table);
  const row = `1\t${composeVersion(1, 7n)}\t0\n`;
  await expect(
    insertCopy(ch, table, Readable.from([Buffer.from(row)]), { signal, onProgress: () => undefined }),
  ).rejects.toMatchObject({
    kind: 'Misconfigured',
    message: expect.stringContaining('A proxy before ClickHouse takes no URL as long as') as unknown,
    remedy: expect.stringContaining('8 KB') as unknown,
  });
});
