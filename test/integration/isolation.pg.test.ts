import pg from 'pg';
import { expect, test } from 'vitest';
import { addressOf, freshDatabase } from '../support/stack.js';

test('a fresh database is empty, its own, and on the run’s server', async () => {
  const [one, two] = [await freshDatabase(), await freshDatabase()];
  expect(one.database).not.toBe(two.database);
  expect(one.port).toBe(addressOf('postgres').port);
  const client = new pg.Client({ ...one });
  await client.connect();
  try {
    const { rows } =
      await client.query(/* sql */ `select current_setting('wal_level') as wal, current_setting('fsync') as fsync,
                        current_setting('max_prepared_transactions') as prepared, current_database() as name`);
    expect(rows).toEqual([{ wal: 'logical', fsync: 'on', prepared: '20', name: one.database }]);
  } finally {
    await client.end();
  }
});
