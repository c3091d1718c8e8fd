import type { Socket } from 'node:net';
import pg from 'pg';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { connectPostgres, type PostgresClient } from '../../src/connect/postgres.js';
import { migrateLedger } from '../../src/ledger/migrate.js';
import { loadSettings, type Settings } from '../../src/settings/settings.js';
import { WorkerLock, type WorkerLockOptions } from '../../src/worker/worker-lock.js';
import { environmentOf } from '../support/clients.js';
import { openProxy } from '../../dev/network/proxy.js';
import { freshDatabase, waitFor } from '../support/stack.js';

const WAIT = { deadlineMs: 20_000, everyMs: 20 };

let admin: pg.Client;
let settings: Settings;
let lines: { msg: string; level: number }[];
const locks: WorkerLock[] = [];
/** Who has whose activities started elsewhere. */
let taken: { by: string; lost: string }[];

beforeEach(async () => {
  const postgres = await freshDatabase('lock');
  admin = new pg.Client(postgres);
  await admin.connect();
  await migrateLedger(admin);
  settings = loadSettings({ env: environmentOf({ postgres }), envFile: false, stackFile: false });
  taken = [];
  lines = [];
});
afterEach(async () => {
  await Promise.all(locks.splice(0).map((lock) => lock.close()));
  await admin.end();
});

/** A worker as far as its lock goes. `kill`: its connection is lost, and it makes no other one. */
async function open(
  name: string,
  options: Partial<WorkerLockOptions> = {},
): Promise<{ kill(): void; close(): Promise<void> }> {
  let isDead = false;
  let session: PostgresClient | undefined;
  const lock = new WorkerLock({
    name,
    deployment: 'ab12cd34',
    async connect() {
      if (isDead) throw new Error('a process that is gone connects no more');
      session = await connectPostgres(settings, { name: 'worker lock' });
      return session;
    },
    takeOver(_session, lost, _signal, onFailed) {
      taken.push({ by: name, lost });
      onFailed();
      return Promise.resolve(1);
    },
    log: pino(
      { level: 'debug' },
      { write: (line: string) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
    ),
    ...options,
  });
  locks.push(lock);
  await lock.begun;
  return {
    kill() {
      isDead = true;
      const { connection } = session as unknown as { readonly connection: { readonly stream: Socket } };
      connection.stream.destroy();
    },
    close: () => lock.close(),
  };
}

const names = async (): Promise<readonly string[]> =>
  (await admin.query<{ name: string }>(/* sql */ `select name from pg2click.worker order by name`)).rows.map(
    ({ name }) => name,
  );

const becomes = (expected: readonly string[]): Promise<true> =>
  waitFor(async () => (await names()).join() === expected.join() || undefined, {
    ...WAIT,
    what: `the workers ${expected.join()}`,
  });

it('of several workers, one takes over from a worker that is gone', async () => {
  const first = await open('a');
  await Promise.all(['b', 'c', 'd'].map((name) => open(name)));
  await becomes(['a', 'b', 'c', 'd']);
  first.kill();
  await becomes(['b', 'c', 'd']);
  expect(taken).toEqual([{ by: expect.stringMatching(/^[bcd]$/u) as string, lost: 'a' }]);
});

it('a worker of another deployment is left alone, as in a copy of the database', async () => {
  const first = await open('a', { deployment: 'ef56ab78' });
  first.kill();
  await open('b');
  await open('c', { deployment: 'ef56ab78' });
  await becomes(['b', 'c']);
  expect(taken).toEqual([{ by: 'c', lost: 'a' }]);
});

it('a worker that has ended in order leaves nothing behind', async () => {
  const first = await open('a');
  await open('b');
  await first.close();
  expect(await names()).toEqual(['b']);
  expect(taken).toEqual([]);
});

it('a take-over that failed is tried again', async () => {
  const first = await open('a');
  let tries = 0;
  await open('b', {
    takeOver: () => ((tries += 1) === 1 ? Promise.reject(new Error('Temporal is away')) : Promise.resolve(0)),
  });
  first.kill();
  await becomes(['b']);
  expect(tries).toBe(2);
});

it('workers that have all lost their connections are not taken for dead', async () => {
  await open('a');
  await open('b');
  for (let round = 1; round <= 3; round += 1) {
    const before = await admin.query<{ last: number }>(/* sql */ `select max(id) as last from pg2click.worker`);
    await admin.query(/* sql */ `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'pg2click worker lock'`);
    await waitFor(
      async () => {
        const now = await admin.query<{ n: number }>(
          /* sql */ `select count(*)::int as n from pg2click.worker where id > $1`,
          [before.rows[0]?.last],
        );
        return now.rows[0]?.n === 2 || undefined;
      },
      { ...WAIT, what: 'both workers to have their locks again' },
    );
  }
  expect(await names()).toEqual(['a', 'b']);
  expect(taken).toEqual([]);
});

it('a worker that is silent loses its lock, although its connection stays open', async () => {
  const { host, port } = settings.postgres;
  const proxy = await openProxy({ host, port });
  const elsewhere = { ...settings, postgres: { ...settings.postgres, port: proxy.port } };
  try {
    await open('a', { connect: () => connectPostgres(elsewhere, { name: 'worker lock' }) });
    await open('b');
    // As of a process that is stopped, or whose packets are lost: nothing is sent, and nothing is closed.
    proxy.freeze();
    await becomes(['b']);
    expect(taken).toEqual([{ by: 'b', lost: 'a' }]);
    await proxy.pass();
    await becomes(['a', 'b']);
    expect(taken).toHaveLength(1);
  } finally {
    await proxy.close();
  }
});

it('through a pooler a worker takes no lock, and says so once', async () => {
  // A pooler greets with a number of its own, where PostgreSQL gives the pid of the session.
  await open('a', {
    connect: async () =>
      Object.assign(await connectPostgres(settings, { name: 'worker lock' }), { processID: 1_000_000 }),
  });
  expect(lines.map(({ msg }) => msg)).toEqual([
    'the ledger is reached through a pooler, which keeps no session: if it is killed, its tables stand still for 10 s',
  ]);
  expect(await names()).toEqual([]);
});

it('a worker whose ledger has no table of workers says what to do, once', async () => {
  await admin.query(/* sql */ `alter table pg2click.worker rename to worker_before`);
  await open('a');
  await waitFor(() => Promise.resolve(lines.length > 2 || undefined), { ...WAIT, what: 'more attempts' });
  expect(lines.filter(({ level }) => level >= 40)).toMatchObject([
    { kind: 'Misconfigured', remedy: expect.stringContaining('pg2click init') as string },
  ]);
});
