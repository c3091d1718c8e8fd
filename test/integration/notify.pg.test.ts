import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { connectPostgres } from '../../src/connect/postgres.js';
import type { Settings } from '../../src/settings/settings.js';
import { Listener } from '../../src/source/poll/listener.js';
import { NotifyWaker } from '../../src/source/poll/notify-waker.js';
import { notifyCapture } from '../../src/source/poll/poll-capture.js';
import { pollSpecOf } from '../../src/source/poll/poll-table.js';
import { channelOf, OPT_IN } from '../../src/source/poll/wake-trigger.js';
import { leastRole } from '../support/least-role.js';
import { connectSource, settingsOf } from '../support/source-table.js';
import { freshDatabase, freshName, waitFor, type PostgresAddress } from '../support/stack.js';

const LONG_MS = 60_000;

/** The trigger that wakes a reader, and the connection that hears it. */
describe('notify', async () => {
  const owner = await freshDatabase('notify');
  let address: PostgresAddress;
  let settings: Settings;
  let admin: pg.Client;
  let our: pg.Client;
  let listener: Listener;
  const clients: pg.Client[] = [];
  const writer = async (): Promise<pg.Client> => {
    const client = await connectSource(owner);
    clients.push(client);
    // The servers of the tests allow prepared transactions.
    await client.query(`set ${OPT_IN} = on`);
    return client;
  };
  beforeAll(async () => {
    address = await leastRole(owner);
    settings = settingsOf(address);
    admin = await writer();
    our = await connectSource(address);
    listener = new Listener(() => connectPostgres(settings, { name: 'listen' }));
  });
  afterAll(async () => {
    await listener.close();
    await Promise.all([...clients, our].map((client) => client.end()));
  });

  let lastId = 100;
  const install = async (): Promise<[string, ReplicatedTable]> => {
    const name = { schema: 'public', table: freshName('t') };
    await admin.query(
      `create table ${name.table} (id bigserial primary key, v text);
       grant select on sequence ${name.table}_id_seq to ${address.user}`,
    );
    const { capture, ...inspection } = await notifyCapture.inspect(our, name, {});
    lastId += 1;
    const table = {
      ...inspection,
      id: String(lastId),
      name,
      pipeline: 'test',
      generation: 1,
      shape: 1,
      fingerprint: '',
      route: { capture, transport: { kind: 'direct' }, loaders: [] },
    } satisfies ReplicatedTable;
    await notifyCapture.install(our, table);
    return [name.table, table];
  };
  const wakerOf = (table: ReplicatedTable, flagOf: string | undefined = table.id): NotifyWaker =>
    new NotifyWaker(our, listener, {
      channel: channelOf(table.id),
      sequence: pollSpecOf(table).sequence,
      intervalMs: LONG_MS,
      flagOf,
    });
  const soon = { signal: new AbortController().signal, timeoutMs: LONG_MS };
  const lastOf = async (table: string): Promise<bigint> =>
    BigInt(
      (await admin.query(`select coalesce(pg_sequence_last_value('${table}_id_seq'), 0)::text as last`)).rows[0].last,
    );
  const flagOf = async (id: string): Promise<number> =>
    Number((await admin.query(`select last_value::int as flag from pg2click.asleep_${id}`)).rows[0].flag);
  /** It is woken once when it begins to listen: until then nobody was heard. */
  const sleeping = (waker: NotifyWaker, seen = 0n): Promise<unknown> =>
    waitFor(async () => !(await waker.wait(seen, { ...soon, timeoutMs: 300 })), {
      deadlineMs: 10_000,
      what: 'the reader to sleep',
    });
  const listening = (): Promise<unknown> =>
    waitFor(
      async () =>
        (
          await admin.query(
            `select from pg_stat_activity where application_name = 'pg2click listen' and datname = current_database()`,
          )
        ).rowCount === 1,
      { deadlineMs: 10_000, what: 'the connection that listens' },
    );

  it('wakes a reader that sleeps when the transaction commits, also one under REPEATABLE READ that began before', async () => {
    const [t, table] = await install();
    await using waker = wakerOf(table);
    const early = await writer();
    await early.query(`begin isolation level repeatable read; select 1`);
    await sleeping(waker);
    expect(await flagOf(table.id)).toBe(2);
    const waiting = waker.wait(0n, soon);
    await early.query(`insert into ${t} default values; commit`);
    expect(await waiting).toBe(true);
    expect(await flagOf(table.id)).toBe(1);
  });

  it('lets nobody notify while the reader is awake', async () => {
    const [t, table] = await install();
    await using waker = wakerOf(table);
    const heard: string[] = [];
    const ear = await writer();
    ear.on('notification', ({ channel }) => heard.push(channel));
    await ear.query(`listen ${channelOf(table.id)}`);
    for (let n = 0; n < 20; n += 1) await admin.query(`insert into ${t} default values`);
    expect(await waker.wait(0n, soon)).toBe(true);
    await ear.query('select 1');
    expect(heard).toEqual([]);
    const seen = await lastOf(t);
    await sleeping(waker, seen);
    const waiting = waker.wait(seen, soon);
    await admin.query(`insert into ${t} default values`);
    expect(await waiting).toBe(true);
    for (let n = 0; n < 20; n += 1) await admin.query(`insert into ${t} default values`);
    await ear.query('select 1');
    expect(heard).toHaveLength(1);
  });

  // The reader sets its flag and then looks; a writer draws and then looks. Were it the other way round, some rounds would sleep.
  it('misses none of 4 writers that insert whenever they like, in 600 rounds of a reader with a timer of a minute', async () => {
    const [t, table] = await install();
    await using waker = wakerOf(table);
    let isOver = false;
    let slowest = 0;
    const writers = Array.from({ length: 4 }, async (_, each) => {
      const client = await writer();
      while (!isOver) {
        await client.query(`insert into ${t} default values`);
        await new Promise((resolve) => setTimeout(resolve, ((each + 1) * 7) % 5));
      }
    });
    let seen = 0n;
    for (let round = 0; round < 600; round += 1) {
      const startedAt = Date.now();
      expect(await waker.wait(seen, soon)).toBe(true);
      slowest = Math.max(slowest, Date.now() - startedAt);
      seen = await lastOf(t);
    }
    isOver = true;
    await Promise.all(writers);
    expect(slowest).toBeLessThan(5_000);
  }, 60_000);

  it('hears again after its connection was lost, and wakes its readers meanwhile', async () => {
    const [t, table] = await install();
    await using waker = wakerOf(table);
    await sleeping(waker);
    const first = waker.wait(0n, soon);
    await admin.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pg2click listen' and datname = current_database()`,
    );
    expect(await first).toBe(true);
    await listening();
    await sleeping(waker);
    const waiting = waker.wait(0n, soon);
    await admin.query(`insert into ${t} default values`);
    expect(await waiting).toBe(true);
  });

  it('of one connection, listens for all tables of a worker, and to those alone that somebody reads', async () => {
    const tables = await Promise.all([install(), install(), install()]);
    const wakers = tables.map(([, table]) => wakerOf(table));
    await Promise.all(wakers.map((waker) => sleeping(waker)));
    const waits = wakers.map((waker) => waker.wait(0n, soon));
    const sessions = await admin.query(
      `select from pg_stat_activity where application_name = 'pg2click listen' and datname = current_database()`,
    );
    expect(sessions.rowCount).toBe(1);
    for (const [t] of tables) await admin.query(`insert into ${t} default values`);
    expect(await Promise.all(waits)).toEqual([true, true, true]);
    await Promise.all(wakers.map((waker) => waker[Symbol.asyncDispose]()));
    for (const [, { id }] of tables) expect(await flagOf(id)).toBe(1);
  });

  it('is over when its time is, and when its signal is aborted', async () => {
    const [, table] = await install();
    await using waker = wakerOf(table);
    await sleeping(waker);
    expect(await waker.wait(0n, { ...soon, timeoutMs: 20 })).toBe(false);
    const controller = new AbortController();
    const waiting = waker.wait(0n, { signal: controller.signal, timeoutMs: LONG_MS });
    controller.abort();
    expect(await waiting).toBe(false);
  });

  it('wakes by a trigger of the user on a channel of the user, and makes nothing for it', async () => {
    const name = { schema: 'public', table: freshName('t') };
    await admin.query(`
      create table ${name.table} (id bigserial primary key); grant select on sequence ${name.table}_id_seq to ${address.user};
      create function ${name.table}_f() returns trigger language plpgsql as $$ begin notify new_data; return null; end $$;
      create trigger tell after insert on ${name.table} for each statement execute function ${name.table}_f()`);
    const { capture, ...inspection } = await notifyCapture.inspect(our, name, { channel: 'new_data' });
    const route = { capture, transport: { kind: 'direct' as const }, loaders: [] };
    const table = { ...inspection, id: '999', name, pipeline: 'test', generation: 1, shape: 1, fingerprint: '', route };
    await notifyCapture.install(our, table);
    expect((await admin.query(`select from pg_trigger where tgrelid = '${name.table}'::regclass`)).rowCount).toBe(1);
    await using waker = new NotifyWaker(our, listener, {
      channel: 'new_data',
      sequence: pollSpecOf(table).sequence,
      intervalMs: LONG_MS,
      flagOf: undefined,
    });
    await sleeping(waker);
    const waiting = waker.wait(0n, soon);
    await admin.query(`insert into ${name.table} default values`);
    expect(await waiting).toBe(true);
    await notifyCapture.remove(our, table);
  });

  describe("a user's statement", () => {
    it('does not fail when the flag is gone', async () => {
      const [t, table] = await install();
      await admin.query(`drop sequence pg2click.asleep_${table.id}`);
      await admin.query(`insert into ${t} default values`);
      expect(await lastOf(t)).toBe(1n);
    });

    it('can be prepared where the session has not said that it notifies, while the reader sleeps', async () => {
      const [t, table] = await install();
      await using waker = wakerOf(table);
      await sleeping(waker);
      const client = await writer();
      const gid = freshName('gid');
      await client.query(`reset ${OPT_IN}`);
      await client.query(`begin; insert into ${t} default values; prepare transaction '${gid}'`);
      await client.query(`commit prepared '${gid}'`);
    });

    it('by a role without any right in the schema pg2click fires the trigger all the same', async () => {
      const [t, table] = await install();
      const role = freshName('app');
      await admin.query(
        `create role ${role}; grant insert on ${t} to ${role}; grant usage on sequence ${t}_id_seq to ${role}`,
      );
      await using waker = wakerOf(table);
      await sleeping(waker);
      const waiting = waker.wait(0n, soon);
      await admin.query(`begin; set local role ${role}; insert into ${t} default values; commit`);
      expect(await waiting).toBe(true);
      await admin.query(`drop owned by ${role}; drop role ${role}`);
    });
  });

  it('leaves nothing behind, and is removed twice', async () => {
    const [t, table] = await install();
    await notifyCapture.remove(our, table);
    await notifyCapture.remove(our, table);
    const left = await admin.query(
      `select from pg_trigger where tgrelid = '${t}'::regclass
       union all select from pg_proc where proname = 'notify_${table.id}'
       union all select from pg_class where relname = 'asleep_${table.id}'`,
    );
    expect(left.rowCount).toBe(0);
    await admin.query(`insert into ${t} default values`);
  });

  it('is made once, and locks the table no second time', async () => {
    const [t, table] = await install();
    const reader = await writer();
    await reader.query(`begin; insert into ${t} default values`);
    await notifyCapture.install(our, table, { giveUpMs: 1_000 });
    await reader.query('rollback');
  });
});
