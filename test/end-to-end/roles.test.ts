import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { enterWorker, findUnlocked, giveLocks } from '../../src/ledger/workers.js';
import { roleScriptFor } from '../support/least-role.js';
import { openPath, type Path } from '../support/path.js';
import { keptKeys } from '../support/quarantine.js';
import { addressOf, consumerRoleOf, freshName, leastRoleOf, readerRoleOf, waitFor } from '../support/stack.js';

describe('a worker that only loads', () => {
  let path: Path;
  let pool: pg.Pool;
  beforeAll(async () => {
    path = await openPath();
    const { database } = path.settings.postgres;
    const consumer = consumerRoleOf(database);
    await path.source.query(roleScriptFor('postgres-consumer.sql', { consumer }));
    await path.source.query(/* sql */ `alter role ${consumer} password 'consumer'`);
    pool = new pg.Pool({ ...addressOf('postgres'), database, user: consumer, password: 'consumer', max: 2 });
  });
  afterAll(async () => {
    await pool.end();
    await path.close();
  });

  it('holds its lock in the ledger, and gives it back', async () => {
    const session = await pool.connect();
    try {
      const id = await enterWorker(session, { name: 'host/1/consumer/00000001', deployment: 'ab12cd34' });
      expect(await findUnlocked(path.source, 'ab12cd34', [])).toEqual([]);
      await giveLocks(session, [id], { forget: false });
      expect(await findUnlocked(path.source, 'ab12cd34', [])).toEqual([{ id, name: 'host/1/consumer/00000001' }]);
      await giveLocks(session, [id], { forget: true });
    } finally {
      session.release();
    }
  });

  it('loads with rights to the ledger alone, and sees neither tables nor outboxes', async () => {
    const table = freshName('orders');
    await path.source.query(
      `create table ${table} (id int primary key, name text); insert into ${table} values (1, 'a')`,
    );
    const orders = await path.add(table);
    await orders.copy();
    await path.source.query(`insert into ${table} values (2, 'b'); delete from ${table} where id = 1`);
    await orders.publish();
    // A slice is short: on a busy machine it may be over before it has fetched anything.
    await waitFor(async () => (await orders.load({ ledger: pool, source: pool })).rows === 2, {
      deadlineMs: 30_000,
      what: 'two rows to load',
    });
    expect((await orders.compare()).equal).toBe(1);

    const { rows } = await path.source.query<{ outbox: string }>(
      `select c.oid::regclass::text as outbox from pg_class c where c.relname like 'outbox\\_%' and c.relkind = 'r'`,
    );
    for (const statement of [
      `select * from ${table}`,
      ...rows.map(({ outbox }) => `select * from ${outbox}`),
      `delete from pg2click.replicated_table`,
      `create table pg2click.mine (a int)`,
    ])
      await expect(pool.query(statement), statement).rejects.toMatchObject({ code: '42501' });
  });

  it('sets rows aside with these rights, and who only looks sees neither their keys nor their values', async () => {
    const table = freshName('orders');
    await path.source.query(`create table ${table} (id int primary key, day date)`);
    const orders = await path.add(table);
    await orders.copy();
    await path.source.query(`insert into ${table} values (1, '2024-01-01'), (2, '9999-12-31')`);
    await orders.publish();
    await waitFor(async () => (await orders.load({ ledger: pool, source: pool })).quarantined === 1, {
      deadlineMs: 30_000,
      what: 'a row to be set aside',
    });
    await path.source.query(`update ${table} set day = '2024-02-02' where id = 2`);
    await orders.publish();
    await waitFor(async () => (await orders.load({ ledger: pool, source: pool })).quarantined === 0, {
      deadlineMs: 30_000,
      what: 'the correction to close it',
    });
    expect(await keptKeys(path, table, 'superseded')).toEqual([2]);

    const { database } = path.settings.postgres;
    const reader = readerRoleOf(database);
    await path.source.query(roleScriptFor('postgres-reader.sql', { reader, role: leastRoleOf(database) }));
    await path.source.query(/* sql */ `alter role ${reader} password 'reader'`);
    const looking = new pg.Client({ ...addressOf('postgres'), database, user: reader, password: 'reader' });
    await looking.connect();
    try {
      const seen = await looking.query(`select id, state, column_name, origin from pg2click.quarantine`);
      expect(seen.rows).toHaveLength(1);
      for (const column of ['key', 'raw'])
        await expect(looking.query(`select ${column} from pg2click.quarantine`)).rejects.toMatchObject({
          code: '42501',
        });
    } finally {
      await looking.end();
    }
  });
});
