import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OutboxBatch } from '../../src/domain/batch.js';
import { readBatch } from '../../src/source/outbox/drain.js';
import { ensureFlushed } from '../../src/source/flush.js';
import { allocatePosition } from '../../src/source/settle.js';
import { freshDatabase } from '../support/stack.js';
import { connectSource, nameBatch, replicate } from '../support/source-table.js';

/** What was visible is on disk before it is sent. */
describe('before anything is sent', async () => {
  const address = await freshDatabase('flush');
  let client: pg.Client;
  let careless: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    careless = await connectSource(address);
    await careless.query(`set synchronous_commit = off`);
    await client.query(`create table t (id int primary key)`);
  });
  afterAll(() => Promise.all([client.end(), careless.end()]));

  const written = async (): Promise<string> =>
    (await client.query<{ at: string }>(`select pg_current_wal_insert_lsn()::text as at`)).rows[0]?.at ?? '';
  const isFlushed = async (position: string): Promise<boolean> =>
    (await client.query<{ yes: boolean }>(`select pg_current_wal_flush_lsn() >= $1::pg_lsn as yes`, [position])).rows[0]
      ?.yes === true;

  it('the commit of a writer that does not wait for the disk is on it', async () => {
    let late = 0;
    for (let id = 1; id <= 20; id++) {
      await careless.query(`insert into t values (${id})`);
      const position = await written();
      if (!(await isFlushed(position))) late += 1;
      // The session of ours does not wait either, unless it is told to.
      await client.query(`set synchronous_commit = off`);
      await ensureFlushed(client);
      expect(await isFlushed(position)).toBe(true);
    }
    expect(late).toBeGreaterThan(0);
  });

  it('a batch that was read says whether all of it is', async () => {
    const table = await replicate(client, { schema: 'public', table: 't' });
    const read = async (): Promise<boolean> => {
      const batch = (await nameBatch(client, table)) as OutboxBatch;
      const reading = readBatch(client, table, batch, { signal: AbortSignal.timeout(20_000) });
      for await (const changes of reading.changes) expect([changes.length, reading.isFlushed]).toEqual([all, false]);
      return reading.isFlushed;
    };
    let all = 0;
    const told: boolean[] = [];
    for (let id = 101; id <= 120; id++) {
      await careless.query(`insert into t values (${id})`);
      all += 1;
      const position = await written();
      const isTold = await read();
      if (isTold) expect(await isFlushed(position)).toBe(true);
      told.push(isTold);
    }
    expect(told).toContain(false);
    // Others write into the same log.
    await expect.poll(read, { timeout: 10_000 }).toBe(true);
  });

  it('a drawn position is on it too, so that no crash gives it out again', async () => {
    const table = await replicate(client, { schema: 'public', table: 't' });
    let late = 0;
    for (let round = 1; round <= 20; round++) {
      await careless.query(`select nextval('pg2click.outbox_${table.id}_seq_seq') from generate_series(1, 40)`);
      const position = await written();
      if (!(await isFlushed(position))) late += 1;
      await allocatePosition(client, table.id);
      expect(await isFlushed(position)).toBe(true);
    }
    expect(late).toBeGreaterThan(0);
  });
});
