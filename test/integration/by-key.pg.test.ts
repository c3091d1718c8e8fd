import { text } from 'node:stream/consumers';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReadingPool } from '../../src/connect/reading-pool.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { composeVersion } from '../../src/domain/version.js';
import { byKeySql, SET_KEYS } from '../../src/source/by-key/by-key-sql.js';
import { readByKey, type ByKeyServices, type KeyBatch } from '../../src/source/by-key/read-by-key.js';
import { readDeployment } from '../../src/source/deployment.js';
import { LOOK_UP_BY_INDEX } from '../../src/source/session.js';
import { connectSource, replicate } from '../support/source-table.js';
import { freshDatabase, waitFor } from '../support/stack.js';

describe('reading rows by key', async () => {
  const address = await freshDatabase('bykey');
  const pool = new pg.Pool({ ...address, max: 2 });
  pool.on('error', () => undefined);
  const services: ByKeyServices = {
    readingByKey: new ReadingPool(pool),
    source: new pg.Pool({ ...address, max: 2 }),
    deployment: () => readDeployment(pool, 'test'),
    settings: { postgres: { user: address.user } },
  };
  let client: pg.Client;
  let careless: pg.Client;
  let table: ReplicatedTable;
  beforeAll(async () => {
    client = await connectSource(address);
    careless = await connectSource(address);
    await careless.query('set synchronous_commit = off');
    await client.query('create table t (id int primary key, v text)');
    table = await replicate(client, { schema: 'public', table: 't' });
  });
  afterAll(() => Promise.all([client.end(), careless.end(), pool.end(), (services.source as pg.Pool).end()]));

  const version = (seq: number, shape = 1): string => String(composeVersion(1, BigInt(seq), BigInt(shape)));
  const keysOf = (entries: readonly (readonly [id: number, seq: number])[]): KeyBatch => {
    const values = entries.map(([id, seq]) => Buffer.from(`{"id":${id},"_version":"${version(seq)}"}`));
    return { values, bytes: values.reduce((sum, { length }) => sum + length + 1, 0), shape: 1 };
  };
  const read = (keys: KeyBatch) => readByKey(services, table, keys, { signal: AbortSignal.timeout(20_000) });

  it('gives each key once, with its highest version in the batch, and a tombstone where the row is gone', async () => {
    await client.query(`insert into t values (1, 'one'), (2, null), (3, E'tab\\t')`);
    const rows = await text(
      read(
        keysOf([
          [2, 30],
          [1, 10],
          [9, 40],
          [1, 12],
          [1, 11],
          [3, 50],
        ]),
      ),
    );
    expect(rows.trim().split('\n')).toEqual([
      `1\tone\t${version(12)}\t0`,
      `2\t\\N\t${version(30)}\t0`,
      `3\ttab\\t\t${version(50)}\t0`,
      `9\t\\N\t${version(40)}\t1`,
    ]);
  });

  it('lets no byte out before what it shows is on disk', async () => {
    let late = 0;
    for (let id = 101; id <= 120; id++) {
      await careless.query(`insert into t values (${id}, 'careless')`);
      const at = (await client.query<{ at: string }>('select pg_current_wal_insert_lsn()::text as at')).rows[0]?.at;
      const isFlushed = async (): Promise<boolean> =>
        (await client.query<{ yes: boolean }>('select pg_current_wal_flush_lsn() >= $1::pg_lsn as yes', [at])).rows[0]
          ?.yes === true;
      if (!(await isFlushed())) late += 1;
      for await (const chunk of read(keysOf([[id, id]]))) {
        expect(String(chunk)).toContain('careless');
        expect(await isFlushed()).toBe(true);
      }
    }
    expect(late).toBeGreaterThan(0);
  });

  it('looks each row up in the index, whatever the size of the table', async () => {
    await client.query(`begin; ${LOOK_UP_BY_INDEX}`);
    await client.query(SET_KEYS, [Buffer.from('[]')]);
    const select = byKeySql(table, { types: ['integer'], names: ['id'], shape: 1 })
      .replace(/^copy \(/u, '')
      .replace(/\) to stdout$/u, '');
    const plan = await client.query<{ 'QUERY PLAN': string }>(`explain (costs off) ${select}`);
    await client.query('rollback');
    const lines = plan.rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(lines).toContain('Index Scan using t_pkey on t source');
    expect(lines).not.toContain('Seq Scan');
  });

  it('ends a connection whose rows nobody wants any more, and leaves its place to the next', async () => {
    const many = keysOf(Array.from({ length: 20_000 }, (_, index) => [index, index + 1] as const));
    for (let i = 0; i < 5; i++) {
      const rows = read(many);
      for await (const chunk of rows) {
        expect(chunk).toBeInstanceOf(Buffer);
        break;
      }
    }
    await waitFor(() => Promise.resolve(pool.totalCount === 0), { deadlineMs: 10_000, what: 'no connection is kept' });
    expect(await text(read(keysOf([[1, 1]])))).toContain('one');
  });
});
