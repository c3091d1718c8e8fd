import type pg from 'pg';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { targetColumns } from '../../src/domain/column-type.js';
import { composeVersion } from '../../src/domain/version.js';
import { ensureFlushed } from '../../src/source/flush.js';
import { copyRows } from '../../src/source/copy/copy-rows.js';
import { freshDatabase } from '../support/stack.js';
import { connectSource, replicate } from '../support/source-table.js';

/** The stream of a whole table. */
describe('copying a table', async () => {
  const address = await freshDatabase('copy');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(`create table big (id int primary key, v text)`);
    await client.query(`insert into big select i, repeat('x', 1000) from generate_series(1, 50000) i`);
  });
  afterAll(() => client.end());

  it('gives the columns of the target in their order, generated ones too, with version and mark', async () => {
    await client.query(`create table t ("B" text, gone int, id int primary key, twice int generated always as (id * 2) stored,
      thrice int generated always as (id * 3) virtual, "a\tb" bool)`);
    await client.query(
      `alter table t drop gone; insert into t ("B", id, "a\tb") values ('x\\y', 1, true), (null, 2, null)`,
    );
    const table = await replicate(client, { schema: 'public', table: 't' }, { generation: 2 });
    expect(targetColumns(table).map(({ name }) => name)).toEqual([
      'B',
      'id',
      'twice',
      'thrice',
      'a\tb',
      '_version',
      '_deleted',
    ]);
    const rows = copyRows(client, table, '7', { signal: AbortSignal.timeout(10_000) });
    const copied = await text(rows);
    expect(rows.rows).toBe(2);
    const version = composeVersion(2, 7n, 1n);
    expect(copied.split('\n').toSorted()).toEqual([
      '',
      `\\N\t2\t4\t6\t\\N\t${version}\t0`,
      `x\\\\y\t1\t2\t3\tt\t${version}\t0`,
    ]);
    expect((await client.query(`select 1 as one`)).rows).toEqual([{ one: 1 }]);
  });

  it('hands on nothing before what its snapshot shows is on disk, whatever the writers commit', async () => {
    const table = await replicate(client, { schema: 'public', table: 'big' });
    const [own, writer] = [await connectSource(address), await connectSource(address)];
    await writer.query(`set synchronous_commit = off; insert into big values (-1)`);
    const committed = await writer.query<{ lsn: string }>(`select pg_current_wal_insert_lsn()::text as lsn`);
    const isOnDisk = async (): Promise<unknown> =>
      (await writer.query(`select pg_current_wal_flush_lsn() >= $1::pg_lsn as yes`, [committed.rows[0]?.lsn])).rows;
    const seen: unknown[] = [];
    const options = { signal: AbortSignal.timeout(10_000), onSnapshot: () => ensureFlushed(client) };
    for await (const chunk of copyRows(own, table, '1', options))
      if ((chunk as Buffer).length > 0 && seen.length === 0) seen.push(await isOnDisk());
    expect(seen).toEqual([[{ yes: true }]]);
    await Promise.all([own.end(), writer.end()]);
  });

  it('ends with the reason of the signal, and its connection can still be closed', async () => {
    const table = await replicate(client, { schema: 'public', table: 'big' });
    const own = await connectSource(address);
    const controller = new AbortController();
    const reason = new Error('enough');
    const read = async (): Promise<void> => {
      for await (const chunk of copyRows(own, table, '1', { signal: controller.signal }))
        if ((chunk as Buffer).length > 0) controller.abort(reason);
    };
    await expect(read()).rejects.toBe(reason);
    await own.end();
  });

  it('fails when the connection breaks in the middle: it never ends as if it were complete', async () => {
    const table = await replicate(client, { schema: 'public', table: 'big' });
    const own = await connectSource(address);
    const { pid } = (await own.query<{ pid: number }>(`select pg_backend_pid() as pid`)).rows[0] ?? { pid: 0 };
    const read = async (): Promise<void> => {
      for await (const chunk of copyRows(own, table, '1', { signal: AbortSignal.timeout(10_000) }))
        if ((chunk as Buffer).length > 0) await client.query(`select pg_terminate_backend($1)`, [pid]);
    };
    await expect(read()).rejects.toMatchObject({ name: 'Failure', kind: 'SourceUnavailable' });
    await own.end();
  });
});
