import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../../dev/stack/stack.js';
import { connectPostgres } from '../../src/connect/postgres.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import type { Failure } from '../../src/failure/failure.js';
import { readWalBacklog } from '../../src/source/wal/backlog.js';
import { findTable } from '../../src/ledger/tables.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';
import { newStateDir } from '../support/state-dir.js';

const DIRECT = { capture: 'wal', transport: 'direct' } as const;
const DEADLINE = { deadlineMs: 90_000 } as const;
const BUDGET_MB = 24;

/** A server of its own: what others write there is kept for the slot too. */
describe('what a table takes on the disk of PostgreSQL is bounded: it is detached, and the command that is printed heals it', () => {
  let stack: Stack;
  let path: Path;
  let other: Followed;
  let hold: Disposable;
  beforeAll(async () => {
    stack = await startStack({ stateDir: newStateDir(), servers: ['postgres'], report: () => undefined });
    path = await openPath({
      wal: true,
      owner: stack.addresses.postgres,
      env: { PG2CLICK_WAL_BUDGET_MB: String(BUDGET_MB) },
    });
    await path.source.query('create table other (id int primary key, v text); create table noise (v text)');
    other = await path.add('other', DIRECT);
    await other.copy();
    const { rows } = await path.source.query<{ slot: string }>('select slot from pg2click.wal_reader');
    hold = path.deps.wal.of(rows[0]?.slot ?? '').hold();
  });
  afterAll(async () => {
    hold[Symbol.dispose]();
    await path.close();
    await stack.stop();
  });

  const filled = async (): Promise<{ name: string; followed: Followed; outbox: string }> => {
    const name = freshName('held');
    await path.source.query(`create table ${name} (id int primary key, v text)`);
    const followed = await path.add(name, DIRECT);
    await followed.copy();
    await path.source.query(`insert into ${name} values (1, 'a'), (2, 'b')`);
    expect(await followed.expectEqual()).toBe(2);
    return { name, followed, outbox: `pg2click.outbox_${followed.receipt.id}` };
  };
  const flows = async (): Promise<number> => {
    await path.source.query(`insert into other select coalesce(max(id), 0) + 1, 'x' from other`);
    return other.expectEqual();
  };
  const detached = async ({ receipt }: Followed): Promise<string | null | undefined> =>
    (
      await path.source.query<{ why: string | null }>(
        `select detached_why as why from pg2click.wal_table where table_id = ${receipt.id} and detached is not null and detached_at is not null`,
      )
    ).rows[0]?.why;
  const isDetached = async (followed: Followed): Promise<boolean> => (await detached(followed)) !== undefined;
  const kept = async (): Promise<number> =>
    Number(
      (
        await path.source.query<{ kept: string }>(
          `select pg_current_wal_lsn() - restart_lsn as kept from pg_replication_slots where slot_type = 'logical'`,
        )
      ).rows[0]?.kept,
    );
  /** 2 MB of WAL that are nobody's. The reader comes after it. */
  const noise = async (): Promise<void> => {
    await path.source.query(`insert into noise select repeat('x', 1000) from generate_series(1, 2000)`);
    await sleep(200);
  };
  /** @returns rows that are the same on both sides */
  const heal = async (name: string, followed: Followed): Promise<number> => {
    const failure = (await failureOf(() => followed.direct())) as Failure;
    expect(failure).toMatchObject({ kind: 'Detached' });
    expect(failure.remedy).toContain(`pg2click remove public.${name}, then pg2click add public.${name}`);
    expect(failure.remedy).toContain('--capture wal');
    await followed.remove();
    const again = await path.add(name, DIRECT);
    await again.copy();
    await path.source.query(`insert into ${name} values (-1, 'after'); delete from ${name} where id = 2`);
    const rows = await again.expectEqual();
    await again.remove(true);
    return rows;
  };

  it('a table whose outbox somebody has dropped stops nobody else', async () => {
    const { name, followed, outbox } = await filled();
    await path.source.query(
      `drop table ${outbox}; insert into ${name} values (3, 'c'); delete from ${name} where id = 1`,
    );
    expect(await flows()).toBeGreaterThan(0);
    expect(await detached(followed)).toContain('outbox');
    // A change of its route looks whether its capture is there, and would bring it back without what it lacks.
    const table = await findTable(path.ledger, path.settings.pipeline, { schema: 'public', table: name });
    await using pg = await connectPostgres(path.settings, { name: 'install' });
    await expect(path.deps.captures.named('wal').install(pg, table as ReplicatedTable)).rejects.toMatchObject({
      kind: 'Detached',
    });
    expect(await heal(name, followed)).toBe(2);
  });

  it('a table that stands still, and whose outbox grows', async () => {
    const { name, followed, outbox } = await filled();
    const table = await findTable(path.ledger, path.settings.pipeline, { schema: 'public', table: name });
    if (table === undefined) throw new Error('the table is not there');
    const slot = async () =>
      (await readWalBacklog(path.source, [{ id: table.id, table, lowWater: '0', position: null }])).get(table.id)?.slot;
    expect(await slot()).toMatchObject({ budgetBytes: BUDGET_MB * 1_000_000, detached: null });
    for (let n = 0; !(await isDetached(followed)); n++) {
      const first = 100 + n * 10_000;
      await path.source.query(`insert into ${name} select g, 'v' from generate_series(${first}, ${first + 9_999}) g`);
      await sleep(200);
    }
    expect(await detached(followed)).toMatch(/outbox of \d+ MB had most events/u);
    expect(await slot()).toMatchObject({
      detached: { remedy: expect.stringContaining(`pg2click remove public.${name}`) as string },
    });
    expect(await flows()).toBeGreaterThan(0);
    await path.source.query(`delete from ${name} where id = 1`);
    // The room is given back, and its changes are not decoded any more.
    await waitFor(
      async () =>
        (await path.source.query(`select from pg_publication_tables where tablename = '${name}'`)).rowCount === 0,
      { ...DEADLINE, what: 'the table is not published' },
    );
    expect(await failureOf(() => followed.direct())).toMatchObject({ kind: 'Detached' });
    await path.source.query(`update pg2click.wal_table set detached_at = detached_at - interval '1 hour'`);
    await waitFor(async () => (await path.source.query(`select from ${outbox} limit 1`)).rowCount === 0, {
      ...DEADLINE,
      what: 'its outbox is empty',
    });
    expect(await heal(name, followed)).toBeGreaterThan(20_000);
  });

  it('a table whose outbox somebody has locked, when WAL beyond the budget is kept for it', async () => {
    const { name, followed, outbox } = await filled();
    const holder = await path.session();
    await holder.query(`begin; lock table ${outbox} in access exclusive mode`);
    await path.source.query(`insert into ${name} values (3, 'c'); delete from ${name} where id = 1`);
    await waitFor(
      async (see) => {
        await noise();
        see(await kept());
        return isDetached(followed);
      },
      { ...DEADLINE, what: 'it is detached' },
    );
    expect(await detached(followed)).toMatch(/could not be written/u);
    expect(await flows()).toBeGreaterThan(0);
    // A lock is a transaction that is open: it keeps WAL by itself.
    await holder.query('rollback');
    await waitFor(
      async () => {
        await path.source.query(`insert into noise values ('x'); select pg_log_standby_snapshot(); checkpoint`);
        await flows();
        return (await kept()) < BUDGET_MB * 1_000_000;
      },
      { ...DEADLINE, what: 'the slot moves on' },
    );
    expect(await heal(name, followed)).toBe(2);
  });

  it('and no table is, where a transaction that is open keeps the WAL', async () => {
    const { name, followed } = await filled();
    const holder = await path.session();
    await holder.query(`begin; create table open_one (id int)`);
    const warned: string[] = [];
    // What the worker logs.
    const { log } = path.deps;
    const warn = log.warn.bind(log);
    Object.assign(log, {
      warn: (...of: unknown[]) => (warned.push(String(of[1])), (warn as (...of: unknown[]) => void)(...of)),
    });
    await waitFor(
      async () => {
        await noise();
        return warned.some((line) => line.includes('budget'));
      },
      { ...DEADLINE, what: 'a warning' },
    );
    const last = warned.findLast((line) => line.includes('no table'));
    await waitFor(() => Promise.resolve(warned.some((line) => /no table holds it back.*process \d+/u.test(line))), {
      ...DEADLINE,
      what: `who keeps it, after ${last}`,
    });
    Object.assign(log, { warn });
    expect(await isDetached(followed)).toBe(false);
    await path.source.query(`insert into ${name} values (3, 'c')`);
    expect(await followed.expectEqual()).toBe(3);
    await holder.query('rollback');
    await followed.remove(true);
  });
});
