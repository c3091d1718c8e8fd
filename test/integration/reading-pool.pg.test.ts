import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createPostgresPool } from '../../src/connect/postgres.js';
import { ReadingPool } from '../../src/connect/reading-pool.js';
import type { OutboxBatch } from '../../src/domain/batch.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { readBatch } from '../../src/source/outbox/drain.js';
import { freshDatabase, waitFor } from '../support/stack.js';
import { connectSource, nameBatch, replicate, settingsOf } from '../support/source-table.js';

const never = (): AbortSignal => new AbortController().signal;

/** Many tables read over few connections: each in its turn, and none over a connection that another has left unfinished. */
describe('the connections that tables share', async () => {
  const address = await freshDatabase('reading');
  let client: pg.Client;
  const pools: ReadingPool[] = [];
  const open = (max: number): ReadingPool => {
    const pool = new ReadingPool(createPostgresPool(settingsOf(address), { max, name: 'publish' }));
    pools.push(pool);
    return pool;
  };
  beforeAll(async () => {
    client = await connectSource(address);
  });
  afterEach(() => Promise.all(pools.splice(0).map((pool) => pool.end())));
  afterAll(() => client.end());

  interface Filled {
    readonly replica: ReplicatedTable;
    readonly batch: OutboxBatch;
  }
  const make = async (table: string, rows: number): Promise<Filled> => {
    await client.query(`create table ${table} (id int primary key, v text)`);
    const replica = await replicate(client, { schema: 'public', table });
    await client.query(`insert into ${table} select i, repeat('x', 1000) from generate_series(1, ${rows}) i`);
    return { replica, batch: (await nameBatch(client, replica)) as OutboxBatch };
  };
  const read = async (pool: ReadingPool, { replica: table, batch }: Filled): Promise<number> => {
    await using lease = await pool.lease({ signal: never() });
    const reading = readBatch(lease.client, table, batch, { signal: never() });
    let rows = 0;
    for await (const changes of reading.changes) rows += changes.length;
    lease.keep();
    return rows;
  };
  const sessions = async (): Promise<readonly number[]> => {
    const found = await client.query<{ pid: number }>(/* sql */ `select pid from pg_stat_activity
        where application_name = 'pg2click publish' and datname = current_database()`);
    return found.rows.map(({ pid }) => pid);
  };

  it('are no more than allowed while 30 tables read, and all of them are served', async () => {
    const tables: Filled[] = [];
    for (let i = 0; i < 30; i += 1) tables.push(await make(`many_${i}`, 200));
    const pool = open(3);
    let most = 0;
    let over = false;
    const counting = (async () => {
      while (!over) most = Math.max(most, (await sessions()).length);
    })();
    const rows = await Promise.all(tables.flatMap((table) => [read(pool, table), read(pool, table)]));
    over = true;
    await counting;
    expect(rows).toEqual(Array.from({ length: 60 }, () => 200));
    expect(most).toBeGreaterThan(0);
    expect(most).toBeLessThanOrEqual(3);
  });

  it('are ended, not lent again, when a reading was left in its middle', async () => {
    const table = await make('abandoned', 5_000);
    const pool = open(1);
    const pidOf = async (): Promise<number | undefined> => {
      await using lease = await pool.lease({ signal: never() });
      const found = await lease.client.query<{ pid: number }>('select pg_backend_pid() as pid');
      lease.keep();
      return found.rows[0]?.pid;
    };
    const first = await pidOf();
    expect(await pidOf()).toBe(first);
    {
      await using lease = await pool.lease({ signal: never() });
      const reading = readBatch(lease.client, table.replica, table.batch, { signal: never() });
      for await (const changes of reading.changes) if (changes.length > 0) break;
    }
    expect(await read(pool, table)).toBe(5_000);
    expect(await pidOf()).not.toBe(first);
    await waitFor(async () => (await sessions()).length === 1, { deadlineMs: 5_000, what: 'the end of the session' });
  });

  it('serve the others while one table is locked, and a backlog does not keep a small table out', async () => {
    const locked = await make('locked', 1);
    const backlog = await make('backlog', 20_000);
    const small = await make('small', 1);
    const pool = open(2);
    const holder = await connectSource(address);
    await holder.query(`begin; lock table locked`);
    const failing = expect(read(pool, locked)).rejects.toMatchObject({ kind: 'LockTimeout' });
    const order: string[] = [];
    const note = async (name: string, reading: Promise<number>): Promise<void> => {
      await reading;
      order.push(name);
    };
    // Each comes again at the end of the queue, as a table with a backlog does.
    await Promise.all([
      note(
        'backlog',
        read(pool, backlog).then(() => read(pool, backlog)),
      ),
      note('small', read(pool, small)),
    ]);
    expect(order).toEqual(['small', 'backlog']);
    await failing;
    await holder.query('rollback');
    await holder.end();
    expect(await read(pool, locked)).toBe(1);
  });

  it('are not waited for by one who has given up', async () => {
    const pool = open(1);
    const lease = await pool.lease({ signal: never() });
    const tired = new AbortController();
    const waiting = pool.lease({ signal: tired.signal });
    tired.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    lease.keep();
    await lease[Symbol.asyncDispose]();
    await using next = await pool.lease({ signal: never() });
    expect((await next.client.query('select 1')).rowCount).toBe(1);
    next.keep();
  });
});
