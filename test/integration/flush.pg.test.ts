import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureFlushed } from '../../src/source/flush.js';
import { drawPosition } from '../../src/source/settle.js';
import { freshDatabase } from '../support/stack.js';
import { connectSource, replicate } from '../support/source-table.js';

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

  it('a drawn position is on it too, so that no crash gives it out again', async () => {
    const replica = await replicate(client, { schema: 'public', table: 't' });
    let late = 0;
    for (let round = 1; round <= 20; round++) {
      await careless.query(`select nextval('pg2click.outbox_${replica.id}_seq_seq') from generate_series(1, 40)`);
      const position = await written();
      if (!(await isFlushed(position))) late += 1;
      await drawPosition(client, replica.id);
      expect(await isFlushed(position)).toBe(true);
    }
    expect(late).toBeGreaterThan(0);
  });
});
