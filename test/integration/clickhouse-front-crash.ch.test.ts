import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import {
  oneRow,
  plainRequest,
  spawnFront,
  startFront,
  type FrontSpawn,
  type TestFront,
} from '../support/clickhouse-front.js';
import { waitFor } from '../support/wait-for.js';

async function front(options: FrontSpawn = {}): Promise<TestFront> {
  const started = await startFront(options);
  onTestFinished(async () => started.dispose());
  return started;
}

it('a killed front comes back with every row it acknowledged, and without what it had not', async () => {
  const first = await front();
  const client = first.client();
  await client.command({ query: 'create table t (id UInt64) engine = MergeTree order by id' });
  let acknowledged = 0;
  let sent = 0;
  const writer = async (): Promise<void> => {
    for (;;) {
      const id = (sent += 1);
      await client.insert({ table: 't', values: [{ id }], format: 'JSONEachRow' });
      acknowledged += 1;
    }
  };
  const writers = Promise.allSettled(Array.from({ length: 4 }, writer));
  await waitFor(() => acknowledged >= 100, { deadlineMs: 30_000, what: '100 acknowledged inserts' });
  await first.end('SIGKILL');
  await writers;
  const second = await front({ directory: first.directory });
  const { rows } = await oneRow<{ rows: number }>(second.client(), 'select uniqExact(id)::UInt32 as rows from t');
  // One insert of each writer may be in without an answer.
  expect(rows).toBeGreaterThanOrEqual(acknowledged);
  expect(rows).toBeLessThanOrEqual(acknowledged + 4);
});

it('a second front on the same folder says who holds it', async () => {
  const first = await front();
  const second = spawnFront(first.directory, 32);
  let said = '';
  second.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
  const [code] = (await once(second, 'close')) as [number];
  expect(code).toBe(1);
  expect(said).toContain(`process ${first.pid} already uses it`);
  expect((await plainRequest(`${first.url}/ping`, { method: 'GET' })).status).toBe(200);
});

it('a port in use is said in one sentence', async () => {
  const first = await front();
  const { port } = new URL(first.url);
  const directory = mkdtempSync(join(tmpdir(), 'clickhouse-front-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  const second = spawnFront(directory, 32, ['--port', port]);
  let said = '';
  second.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString('utf8')));
  expect(await once(second, 'close')).toEqual([1, null]);
  expect(said).toMatch(/^clickhouse-front: Cannot listen on 127\.0\.0\.1:\d+ .*choose another --port\n$/);
});

it('SIGTERM lets a request in flight finish, refuses new ones and ends with 0', async () => {
  const running = await front();
  const client = running.client();
  const query = oneRow(client, 'select sleepEachRow(0.5), 1 as n from numbers(2)');
  await waitFor(
    async () =>
      (
        await oneRow<{ n: number }>(
          client,
          "select count()::UInt8 as n from system.processes where query like 'select sleepEach%'",
        )
      ).n === 1,
    {
      deadlineMs: 5_000,
      what: 'the query to run',
    },
  );
  const ended = running.end('SIGTERM');
  expect(await query).toMatchObject({ n: 1 });
  expect(await ended).toEqual({ code: 0, signal: null });
});

it('SIGTERM does not wait for ever', async () => {
  const running = await front();
  const client = running.client();
  const query = client.query({ query: 'select count() from numbers(1000000000000)' }).catch((error: unknown) => error);
  await waitFor(
    async () =>
      (
        await oneRow<{ n: number }>(
          client,
          "select count()::UInt8 as n from system.processes where query like '%1000000000000%' and query not like '%processes%'",
        )
      ).n === 1,
    {
      deadlineMs: 5_000,
      what: 'the query to run',
    },
  );
  const begun = Date.now();
  expect(await running.end('SIGTERM')).toEqual({ code: 0, signal: null });
  expect(Date.now() - begun).toBeLessThan(15_000);
  expect(await query).toBeInstanceOf(Error);
});

it('a front with too few threads starts itself again with enough, and both end together', async () => {
  const running = await front({ threads: 4 });
  expect((await plainRequest(`${running.url}/ping`, { method: 'GET' })).status).toBe(200);
  const { pid } = (await (await fetch(`${running.url}/pg2click/stats`)).json()) as { pid: number };
  expect(pid).not.toBe(running.pid);
  await running.end('SIGKILL');
  await waitFor(() => !alive(pid), { deadlineMs: 10_000, what: 'the child to end after its parent was killed' });
});

it('what a killed front left in the spool is gone after the next start', async () => {
  const first = await front();
  await first.end('SIGKILL');
  const second = await front({ directory: first.directory });
  const spool = readdirSync(join(second.directory, 'spool'));
  expect(spool.filter((name) => !name.startsWith('pipe-'))).toEqual([]);
  expect(await oneRow(second.client(), 'select 1 as n')).toEqual({ n: 1 });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
