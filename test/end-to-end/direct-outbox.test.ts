import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Pool } from 'pg';
import type { Deps } from '../../activities/deps.js';
import { freshName, waitFor } from '../support/stack.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';

const LONG_SLICE_MS = 5_000;
const BROKEN_OFF = { message: 'broken off by the test' };

/** The changes of an outbox that go to ClickHouse with no topic in between. The servers are real; only the step that fails is made to. */
describe.each([
  ['the ledger beside the table', false],
  ['the ledger in another database', true],
])('straight from the outbox, %s', (_, ledgerElsewhere) => {
  let path: Path;
  let table: string;
  let followed: Followed;
  beforeAll(async () => {
    path = await openPath({ ledgerElsewhere });
  });
  afterAll(() => path.close());
  beforeEach(async () => {
    table = freshName('direct');
    await path.source.query(`create table ${table} (id int primary key, v text);
      insert into ${table} select i, 'copied ' || i from generate_series(1, 500) i`);
    followed = await path.add(table, { transport: 'direct' });
    expect((await followed.copy()).rows).toBe(500);
  });

  const write = (from: number, rows = 100): Promise<unknown> =>
    path.source.query(`insert into ${table} select i, 'new ' || i from generate_series(${from}, ${from + rows - 1}) i`);
  const change = (): Promise<unknown> =>
    path.source.query(`update ${table} set v = v || '+' where id % 3 = 0; delete from ${table} where id % 10 = 0`);
  const outbox = async (): Promise<number> =>
    (await path.source.query(`select from pg2click.outbox_${followed.receipt.id}`)).rowCount ?? 0;
  /** Rows that were written under an id, merged or not. */
  const versions = async (id: number): Promise<number> =>
    Number(await followed.sink(`select count() from {target} where id = ${id}`));

  /** A pool whose statements that match never arrive. */
  const without = (pool: Pool, pattern: RegExp): Pool =>
    new Proxy(pool, {
      get(target, name) {
        if (name !== 'query') return Reflect.get(target, name, target) as unknown;
        return (text: string, values?: unknown[]) =>
          pattern.test(text)
            ? Promise.reject(Object.assign(new Error(BROKEN_OFF.message), { code: 'ECONNRESET' }))
            : target.query(text, values);
      },
    });
  /** A ClickHouse to whose inserts something is done first. */
  const inserting = (before: (insert: number) => Promise<void> | void): Partial<Deps> => {
    let inserts = 0;
    return {
      clickhouse: new Proxy(path.deps.clickhouse, {
        get(client, name) {
          if (name !== 'exec') return Reflect.get(client, name, client) as unknown;
          return async (parameters: Parameters<typeof client.exec>[0]) => {
            await before(++inserts);
            return client.exec(parameters);
          };
        },
      }),
    };
  };
  const heldInsert = (): { deps: Partial<Deps>; reached: Promise<void>; release: () => void } => {
    let release = (): void => undefined;
    let reach = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const deps = inserting(() => {
      reach();
      return held;
    });
    return { deps, reached, release: () => release() };
  };
  it('follows inserts, updates, deletes, key changes and rollbacks, and has no topic', async () => {
    expect(followed.receipt.topic).toBeNull();
    await change();
    await path.source.query(`update ${table} set id = id + 100000 where id % 11 = 0`);
    await path.source.query(`insert into ${table}
      values (-1, null), (-2, E'tab\\tnewline\\nbackslash\\\\quote"\\\\N'), (-3, repeat('wide ', 400000))`);
    await path.source.query(`begin; delete from ${table}; rollback`);
    expect(await followed.expectEqual()).toBe(453);
    expect(await outbox()).toBe(0);
  });

  it('shows nothing of what was there before a TRUNCATE, and all that came after it', async () => {
    await path.source.query(`update ${table} set v = 'newer' where id <= 50`);
    await path.source.query(
      `begin; truncate ${table}; insert into ${table} values (1, 'after'), (900, 'after'); commit`,
    );
    await write(2, 1);
    expect(await followed.expectEqual()).toBe(3);
    await path.source.query(`truncate ${table}`);
    expect(await followed.expectEqual()).toBe(0);
    // The next slice compares ClickHouse with what was confirmed: a floor and no row.
    followed.forget();
    expect(await followed.expectEqual()).toBe(0);
  });

  it('takes a transaction that commits late into a later batch', async () => {
    const late = await path.session();
    await late.query(`begin; insert into ${table} values (-7, 'late')`);
    await write(1_001);
    await followed.settle();
    expect(await versions(-7)).toBe(0);
    await late.query('commit');
    // Its position is below the newest one, so what waits is not seen by a slice that ends before it has looked.
    const isTaken = async (): Promise<boolean> => {
      await followed.settle();
      return (await versions(-7)) > 0;
    };
    await waitFor(isTaken, { deadlineMs: 20_000, what: 'the late row' });
    expect(await followed.expectEqual()).toBe(601);
  });

  it('keeps the newest state of a few keys that sessions fight over while they are drained', async () => {
    const sessions = await Promise.all(Array.from({ length: 4 }, () => path.session()));
    const statements = [
      (key: number) => `insert into ${table} values (${key}, 'in') on conflict (id) do update set v = 'up'`,
      (key: number) => `delete from ${table} where id = ${key}`,
      (key: number) => `update ${table} set id = id + 4 where id = ${key} % 4`,
      (key: number) => `begin; update ${table} set v = v || '.' where id = ${key}; select pg_sleep(0.003); commit`,
    ];
    let writing = true;
    const writers = Promise.all(
      sessions.map(async (session, writer) => {
        for (let turn = 0; turn < 150; turn += 1) {
          const statement = statements[(turn * 7 + writer) % statements.length]?.((turn + writer) % 8) ?? '';
          // A duplicate key or a deadlock is part of the fight.
          await session.query(statement).catch(() => session.query('rollback'));
        }
      }),
    ).finally(() => (writing = false));
    while (writing) await followed.direct();
    await writers;
    await followed.expectEqual();
  });

  it('after the insert, before the batch was confirmed: newer rows come under the same versions, and are right in the end', async () => {
    await write(1_001);
    const broken: Partial<Deps> = { ledger: without(path.deps.ledger, /deleting = pending|advance_outbox/u) };
    if (!ledgerElsewhere) {
      // One statement names and confirms there: it is let through until the insert has been made.
      let isInserted = false;
      const { ledger } = path.deps;
      const failing = without(ledger, /advance_outbox/u);
      Object.assign(
        broken,
        inserting(() => void (isInserted = true)),
        {
          ledger: new Proxy(ledger, {
            get: (target, name) => Reflect.get(isInserted ? failing : target, name, target) as unknown,
          }),
        },
      );
    }
    expect(await failureOf(() => followed.direct(broken))).toMatchObject({ kind: 'LedgerUnavailable' });
    expect(await versions(1_001)).toBe(1);
    await path.source.query(`update ${table} set v = 'changed' where id = 1001; delete from ${table} where id = 1002`);
    expect(await followed.expectEqual()).toBe(599);
    expect(await outbox()).toBe(0);
  });

  it('after the batch was named, before it was inserted', async () => {
    await write(1_001);
    const broken = inserting(() => Promise.reject(new Error(BROKEN_OFF.message)));
    expect(await failureOf(() => followed.direct(broken))).toBeInstanceOf(Error);
    await change();
    await write(1_101);
    await followed.expectEqual();
  });

  it('reads the batch again where ClickHouse is away for a moment, and gives its connections back', async () => {
    await write(1_001, 30_000);
    let failed = 0;
    const away = inserting((insert) => {
      if (insert > 4) return;
      failed += 1;
      return Promise.reject(Object.assign(new Error(BROKEN_OFF.message), { code: 'ECONNRESET' }));
    });
    await followed.direct(away, LONG_SLICE_MS);
    expect(failed).toBe(4);
    expect(await followed.expectEqual()).toBe(30_500);
  });

  it('a slice that was overtaken can finish the insert that is named, and can confirm nothing', async () => {
    await write(1_001);
    const frozen = heldInsert();
    const zombie = failureOf(() => followed.direct(frozen.deps));
    await frozen.reached;
    await change();
    await followed.settle();
    await path.source.query(`truncate ${table}`);
    await write(1, 5);
    await followed.settle();
    frozen.release();
    expect(await zombie).toMatchObject({ kind: 'Fenced' });
    expect(await followed.expectEqual()).toBe(5);
  });

  it('two slices at once: one of them goes on, and every event is moved', async () => {
    await write(1_001);
    const outcomes = await Promise.allSettled([followed.direct(), followed.direct()]);
    for (const outcome of outcomes)
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ kind: 'Fenced' });
    await followed.expectEqual();
  });

  it('parks a batch of which an event says that unknown keys changed, before anything of it has left', async () => {
    await path.source.query(`insert into ${table} values (1001, 'v');
      insert into pg2click.outbox_${followed.receipt.id} (mark) values ('x')`);
    expect(await failureOf(() => followed.direct())).toMatchObject({ kind: 'SourceChanged' });
    expect(await versions(1_001)).toBe(0);
  });

  it('reads a key that the outbox holds as text', async () => {
    await path.source.query(`insert into pg2click.outbox_${followed.receipt.id} (loose) values (array['7'])`);
    expect(await followed.expectEqual()).toBe(500);
    expect(
      await followed.sink(
        `select count() from {target} final where id = 7 and bitAnd(bitShiftRight(_version, 64), 0xffff) > 1`,
      ),
    ).toBe('1');
  });

  it('no byte leaves before the commit that wrote it is on disk, though its writer did not wait for that', async () => {
    const careless = await path.session();
    await careless.query('set synchronous_commit = off');
    await write(1_001);
    const flushed: boolean[] = [];
    let position = '0/0';
    const reading = new Proxy(path.deps.reading, {
      get(pool, name) {
        if (name !== 'lease') return Reflect.get(pool, name, pool) as unknown;
        return async (options: Parameters<typeof pool.lease>[0]) => {
          // The batch is named, and not read yet: its rows are read as this leaves them.
          await careless.query(`update ${table} set v = 'careless' where id between 1001 and 1100`);
          const written = await careless.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn');
          position = written.rows[0]?.lsn ?? '';
          return pool.lease(options);
        };
      },
    });
    const watching = inserting(async () => {
      const found = await path.source.query<{ flushed: boolean }>(
        `select pg_current_wal_flush_lsn() >= '${position}'::pg_lsn as flushed`,
      );
      flushed.push(found.rows[0]?.flushed === true);
    });
    while (flushed.length < 6) await followed.direct({ ...watching, reading });
    expect(flushed).not.toContain(false);
    await followed.expectEqual();
  });
});
