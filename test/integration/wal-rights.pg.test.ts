import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { walCapture } from '../../src/source/wal/wal-capture.js';
import { leastRole, letReadWal } from '../support/least-role.js';
import { connectSource } from '../support/source-table.js';
import { freshDatabase } from '../support/stack.js';

describe('what the role has to have for --capture wal', async () => {
  const owner = await freshDatabase('wal_rights');
  let admin: pg.Client;
  let our: pg.Client;
  beforeAll(async () => {
    const address = await leastRole(owner);
    admin = await connectSource(owner);
    our = await connectSource(address);
    await admin.query(`create table orders (id int primary key); revoke trigger on orders from "${address.user}"`);
  });
  afterAll(() => Promise.all([admin.end(), our.end()]));

  const inspect = () => walCapture.inspect(our, { schema: 'public', table: 'orders' }, {});

  it('is refused before anything is started where the script of the WAL was not run', async () => {
    await expect(inspect()).rejects.toMatchObject({
      kind: 'Unauthorized',
      message: 'The PostgreSQL role may not publish public.orders, which takes the owner of the table.',
      remedy: expect.stringContaining('postgres-wal.sql') as string,
    });
  });

  it('is SELECT alone of the table itself', async () => {
    await letReadWal(owner);
    expect((await inspect()).capture).toEqual({ kind: 'wal' });
  });
});
