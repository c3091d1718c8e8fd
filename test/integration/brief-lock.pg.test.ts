import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { outboxCapture } from '../../src/source/outbox/outbox-capture.js';
import { leastRole } from '../support/least-role.js';
import { connectSource, replicate } from '../support/source-table.js';
import { freshDatabase, freshName, waitFor, type PostgresAddress } from '../support/stack.js';

/** 200 ms in the lock queue at most; the rest is for a machine that others use too. */
const LONGEST_WAIT_MS = 600;
/** Longer than the 5 s for which a request for a lock once stood in the queue. */
const HELD_MS = 7_000;

/** As the role that pg2click is documented to need; the users are others, and what they do is hidden from it in part. */
describe('putting triggers on a table that is in use, and taking them off', async () => {
  const owner = await freshDatabase('locks');
  const least = await leastRole(owner);
  const clients: pg.Client[] = [];
  const connect = async (address: PostgresAddress, application = ''): Promise<pg.Client> => {
    const client = await connectSource(address);
    if (application !== '') await client.query(`set application_name = '${application}'`);
    clients.push(client);
    return client;
  };
  let ours: pg.Client;
  let holder: pg.Client;
  let t: string;
  let table: ReplicatedTable;
  beforeAll(async () => {
    ours = await connect(least);
    holder = await connect(owner, 'nightly report');
  });
  afterAll(() => Promise.all(clients.map((client) => client.end())));
  beforeEach(async () => {
    t = freshName('t');
    await holder.query(`create table ${t} (id int primary key, v text)`);
    table = await replicate(ours, { schema: 'public', table: t });
  });

  /** Runs statements one after the other until it is stopped. @returns the longest, in milliseconds */
  const loop = async (statement: (n: number) => string, stop: AbortSignal): Promise<number> => {
    const client = await connect(owner);
    let longest = 0;
    for (let n = 1; !stop.aborted; n += 1) {
      const beganAt = performance.now();
      await client.query(statement(n));
      longest = Math.max(longest, performance.now() - beganAt);
      await sleep(5);
    }
    return longest;
  };

  const CASES = [
    ['installing behind an open writer', true, (name: string) => `insert into ${name} values (-1)`],
    ['removing behind an open reader', false, (name: string) => `select * from ${name}`],
  ] as const;

  it.each(CASES)('%s: nobody else waits for it, and who is in the way is named', async (_, installs, holds) => {
    if (installs) await outboxCapture.remove(ours, table);
    const pid = (await holder.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0;
    await holder.query(`begin; ${holds(t)}`);
    const stop = new AbortController();
    const loops = Promise.all([
      loop((n) => `insert into ${t} values (${n}, 'new')`, stop.signal),
      loop(() => `select count(*) from ${t}`, stop.signal),
    ]);
    const said: string[] = [];
    const options = { giveUpMs: HELD_MS, onWait: (who: string) => void said.push(who) };
    const failure = await outboxCapture[installs ? 'install' : 'remove'](ours, table, options).catch(
      (error: unknown) => error as Error,
    );
    stop.abort();
    const longest = await loops;
    await holder.query('commit');
    console.log(`longest insert and select while it was tried: ${longest.map(Math.round).join(' and ')} ms`);
    expect(Math.max(...longest)).toBeLessThan(LONGEST_WAIT_MS);
    const who = new RegExp(
      `public\\.${t} is held by process ${pid} \\(application "nightly report", user \\w+, first seen at 20`,
      'u',
    );
    expect(failure).toMatchObject({
      kind: 'LockTimeout',
      message: expect.stringMatching(who),
      remedy: expect.stringContaining(`select pg_terminate_backend(${pid})`),
    });
    expect(said.at(-1)).toMatch(who);
    await outboxCapture[installs ? 'install' : 'remove'](ours, table);
  });

  it('goes on within a second or two when the holder ends', async () => {
    await outboxCapture.remove(ours, table);
    await holder.query(`begin; insert into ${t} values (1)`);
    const said: string[] = [];
    const installed = outboxCapture.install(ours, table, { onWait: (who) => void said.push(who) });
    await waitFor(() => said.length > 3, { deadlineMs: 10_000, what: 'four looks' });
    await holder.query('commit');
    const endedAt = Date.now();
    await installed;
    expect(Date.now() - endedAt).toBeLessThan(3_000);
  });

  it('gets its lock although short transactions follow one another without a gap', async () => {
    await outboxCapture.remove(ours, table);
    const stop = new AbortController();
    const writers = Promise.all(
      [1, 2, 3, 4].map((w) =>
        loop(
          (n) => `begin; insert into ${t} values (${w * 1_000_000 + n}); select pg_sleep(0.02); commit`,
          stop.signal,
        ),
      ),
    );
    await outboxCapture.install(ours, table);
    await outboxCapture.remove(ours, table);
    stop.abort();
    const longest = await writers;
    expect(Math.max(...longest)).toBeLessThan(LONGEST_WAIT_MS);
  });

  it('names a prepared transaction, which has no process', async () => {
    await outboxCapture.remove(ours, table);
    const gid = freshName('gid');
    await holder.query(`begin; insert into ${t} values (1); prepare transaction '${gid}'`);
    await expect(outboxCapture.install(ours, table, { giveUpMs: 0 })).rejects.toMatchObject({
      kind: 'LockTimeout',
      message: expect.stringMatching(
        new RegExp(`held by the prepared transaction '${gid}' of user \\w+ \\(no process, prepared at 20`, 'u'),
      ),
      remedy: expect.stringContaining(`rollback prepared '${gid}'`),
    });
    await holder.query(`commit prepared '${gid}'`);
    await outboxCapture.install(ours, table);
  });

  it('stops waiting as soon as it is told to', async () => {
    await outboxCapture.remove(ours, table);
    await holder.query(`begin; insert into ${t} values (1)`);
    const stop = new AbortController();
    const waiting = outboxCapture.install(ours, table, { signal: stop.signal, onWait: () => stop.abort() });
    await expect(waiting).rejects.toThrow('aborted');
    await holder.query('commit');
  });

  it('does nothing when the fence, in its own transaction, says that another attempt took over', async () => {
    await outboxCapture.remove(ours, table);
    const fence = () => Promise.reject(new Error('overtaken'));
    await expect(outboxCapture.install(ours, table, { fence })).rejects.toMatchObject({
      cause: { message: 'overtaken' },
    });
    const left = await holder.query(`select from pg_trigger where tgrelid = '${t}'::regclass`);
    expect(left.rowCount).toBe(0);
  });
});
