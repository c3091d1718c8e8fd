import { beforeAll, expect, it } from 'vitest';
import { connectPostgres, createPostgresPool, IdleConnectionGroup } from '../../src/connect/postgres.js';
import { Failure } from '../../src/failure/failure.js';
import { loadSettings, type Settings } from '../../src/settings/settings.js';
import { environmentOf } from '../support/clients.js';
import { openProxy } from '../../dev/network/proxy.js';
import { addressOf, freshDatabase, freshName, waitFor } from '../support/stack.js';

let settings: Settings;
let env: Record<string, string>;

beforeAll(async () => {
  env = environmentOf({ postgres: await freshDatabase() });
  settings = load();
});

function load(overrides: Record<string, string> = {}): Settings {
  return loadSettings({ env: { ...env, ...overrides }, envFile: false, stackFile: false });
}

it('our sessions commit synchronously and speak one dialect, whatever the role and the database say', async () => {
  const role = freshName('role');
  {
    await using admin = await connectPostgres(settings, { name: 'test' });
    await admin.query(/* sql */ `create role ${role} login superuser password 'secret-of-the-role';
      alter role ${role} set synchronous_commit = off;
      alter role ${role} set datestyle = 'SQL, DMY';
      alter role ${role} set bytea_output = escape;
      alter database ${settings.postgres.database} set timezone = 'Asia/Tokyo';
      alter database ${settings.postgres.database} set row_security = on`);
  }
  await using pg = await connectPostgres(load({ PG_USER: role, PG_PASSWORD: 'secret-of-the-role' }), { name: 'test' });
  const names = ['synchronous_commit', 'DateStyle', 'TimeZone', 'bytea_output', 'row_security', 'client_encoding'];
  const found = await pg.query<{ value: string }>(
    /* sql */ `select current_setting(name) as value from unnest($1::text[]) with ordinality as names (name, place) order by place`,
    [names],
  );
  expect(found.rows.map(({ value }) => value)).toEqual(['on', 'ISO, YMD', 'UTC', 'hex', 'off', 'UTF8']);
  await pg.query(/* sql */ `drop owned by ${role}`);
});

it('values come back as text where JavaScript would lose some of them', async () => {
  await using pg = await connectPostgres(settings, { name: 'test' });
  const found = await pg.query<Record<string, unknown>>(/* sql */ `select
    9223372036854775807::bigint as big, 12345678901234567890.12::numeric as exact, true as yes, 7 as few, 0.1::float8 as near,
    '2026-11-22 10:11:12.123456+00'::timestamptz as at, '2026-11-22'::date as day, '1 day 00:00:00.000001'::interval as span,
    '{"n": 9007199254740993}'::json as json, '{"n": 1}'::jsonb as jsonb, array['a', null] as texts`);
  expect(found.rows[0]).toEqual({
    big: '9223372036854775807',
    exact: '12345678901234567890.12',
    yes: true,
    few: 7,
    near: 0.1,
    at: '2026-11-22 10:11:12.123456+00',
    day: '2026-11-22',
    span: '1 day 00:00:00.000001',
    json: '{"n": 9007199254740993}',
    jsonb: { n: 1 },
    texts: ['a', null],
  });
});

it('a session is named, and ended with its scope', async () => {
  await using watcher = await connectPostgres(settings, { name: 'watcher' });
  const name = freshName('named');
  const sessions = async () => {
    const found = await watcher.query(/* sql */ `select from pg_stat_activity where application_name = $1`, [
      `pg2click ${name}`,
    ]);
    return found.rowCount;
  };
  {
    await using pg = await connectPostgres(settings, { name });
    expect(await sessions()).toBe(1);
    expect(pg).toBeDefined();
  }
  await waitFor(async () => (await sessions()) === 0, { deadlineMs: 5_000, what: 'the session to end' });
});

it('aborting ends a session in the middle of a statement', async () => {
  const stop = new AbortController();
  const pg = await connectPostgres(settings, { name: 'test', signal: stop.signal });
  const sleeping = pg.query(/* sql */ `select pg_sleep(60)`);
  stop.abort(new Error('enough'));
  await expect(sleeping).rejects.toThrow(/terminated/u);
  await expect(connectPostgres(settings, { name: 'test', signal: stop.signal })).rejects.toThrow('enough');
  await pg[Symbol.asyncDispose]();
});

it('a pool has the same sessions', async () => {
  const pool = createPostgresPool(settings, { max: 2 });
  try {
    const found = await pool.query(
      /* sql */ `select current_setting('synchronous_commit') as commit, '1'::json as json`,
    );
    expect(found.rows).toEqual([{ commit: 'on', json: '1' }]);
  } finally {
    await pool.end();
  }
});

it('pools of one server give up their idle connections together, when one of them died without a word', async () => {
  const proxy = await openProxy(settings.postgres);
  const there = load({ PG_HOST: proxy.host, PG_PORT: String(proxy.port) });
  const idleGroup = new IdleConnectionGroup();
  const pool = createPostgresPool(there, { max: 4, statementMs: 500, idleGroup });
  const other = createPostgresPool(there, { max: 2, idleGroup });
  try {
    await Promise.all([1, 2, 3, 4].map(() => pool.query('select pg_sleep(0.2)')));
    await other.query('select 1');
    expect([pool.idleCount, other.idleCount]).toEqual([4, 1]);
    proxy.strand();
    await expect(pool.query('select 1')).rejects.toThrow();
    await waitFor(() => pool.totalCount + other.totalCount === 0, { deadlineMs: 5_000, what: 'all five to go' });
    expect((await pool.query('select 1')).rowCount).toBe(1);
    // What the server refuses says nothing against the others.
    await Promise.all([1, 2, 3].map(() => pool.query('select pg_sleep(0.2)')));
    await expect(pool.query('select no_such_column')).rejects.toThrow();
    await waitFor(() => pool.totalCount === 2, { deadlineMs: 5_000, what: 'that one to go' });
    expect(pool.idleCount).toBe(2);
  } finally {
    await Promise.all([pool.end(), other.end()]);
    await proxy.close();
  }
});

it.each([
  [{ PG_PASSWORD: 'wrong' }, 'LoginRefused'],
  [{ PG_DB: 'nope' }, 'Misconfigured'],
  [{ PG_PORT: '1' }, 'SourceUnavailable'],
  [{ PG_HOST: '/no/such/folder' }, 'SourceUnavailable'],
])('%j is told as %s, with the place to look at', async (wrong, kind) => {
  const error: unknown = await connectPostgres(load(wrong), { name: 'test' }).catch((failure: unknown) => failure);
  expect(error).toBeInstanceOf(Failure);
  expect(error).toMatchObject({ kind, remedy: expect.stringContaining(Object.keys(wrong)[0] ?? '') });
  expect(String(error)).not.toContain(addressOf('postgres').password);
});
