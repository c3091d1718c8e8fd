import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { select } from '../../src/clickhouse/catalog.js';
import { connectClickHouse } from '../../src/connect/clickhouse.js';
import { Secret } from '../../src/settings/secret.js';
import { freshSink } from '../support/stack.js';

/** A way to the server that gives each request the setting that a user's profile would have, unless it says otherwise. */
async function profileWith(url: string, setting: string, value: string): Promise<string> {
  const server = createServer((asked, answer) => {
    const to = new URL(asked.url ?? '/', url);
    if (!to.searchParams.has(setting)) to.searchParams.set(setting, value);
    const sent = request(to, { method: asked.method, headers: { ...asked.headers, host: to.host } }, (got) => {
      answer.writeHead(got.statusCode ?? 500, got.headers);
      got.pipe(answer);
    });
    asked.pipe(sent);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

it('a profile with a query cache answers none of our questions from it', async () => {
  const { url, database, user, password } = await freshSink('cached');
  const ch = connectClickHouse({
    clickhouse: {
      url: await profileWith(url, 'use_query_cache', '1'),
      database,
      user,
      password: new Secret(password),
      tls: undefined,
    },
  } as unknown as Parameters<typeof connectClickHouse>[0]);
  onTestFinished(() => ch.close());
  await ch.command({ query: 'create table rows (id Int64) engine = MergeTree order by id' });
  const count = async () => (await select<{ c: number }>(ch, 'select count() c from rows', {}, 'counting'))[0]?.c;
  expect(await count()).toBe(0);
  await ch.command({ query: 'insert into rows values (1)' });
  expect(await count()).toBe(1);
  await expect(select(ch, 'select name from system.tables limit 1', {}, 'looking')).resolves.toHaveLength(1);
});
