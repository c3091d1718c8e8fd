import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import pg from 'pg';
import { expect, it } from 'vitest';
import { ReadingPool } from '../../src/connect/reading-pool.js';
import { readDeployment } from '../../src/source/deployment.js';
import { readByKey, type ByKeyServices } from '../../src/source/by-key/read-by-key.js';
import { ownStack, ownStateDir } from '../support/own-stack.js';
import { connectSource, replicate } from '../support/source-table.js';

it('a standby is refused: a row that it does not have yet would look deleted', async () => {
  const stateDir = ownStateDir();
  const { stack } = await ownStack(stateDir, ['postgres']);
  const address = stack.addresses.postgres;
  const primary = await connectSource(address);
  await primary.query(`create table t (id int primary key, v text); insert into t values (1, 'a'), (2, 'b')`);
  const table = await replicate(primary, { schema: 'public', table: 't' });
  const directory = (await primary.query<{ at: string }>(`select current_setting('data_directory') as at`)).rows[0]?.at;
  const value = Buffer.from(`{"id":1,"_version":"1329227995784915891206435945914040321"}`);
  const keys = { values: [value], bytes: value.length + 1, shape: 1 };
  const read = async (): Promise<string> => {
    const pool = new pg.Pool({ ...address, max: 2 });
    pool.on('error', () => undefined);
    const services: ByKeyServices = {
      readingByKey: new ReadingPool(pool),
      source: pool,
      deployment: () => readDeployment(pool, 'test'),
      settings: { postgres: { user: address.user } },
    };
    try {
      return await text(readByKey(services, table, keys, { signal: AbortSignal.timeout(20_000) }));
    } finally {
      await pool.end();
    }
  };
  expect(await read()).toBe('1\ta\t1329227995784915891206435945914040321\t0\n');
  await primary.end();
  await stack.stop();

  writeFileSync(join(directory ?? '', 'standby.signal'), '');
  const { stack: again } = await ownStack(stateDir, ['postgres']);
  expect(again.addresses.postgres).toEqual(address);
  const standby = await connectSource(address);
  expect((await standby.query('select pg_is_in_recovery() as it')).rows).toEqual([{ it: true }]);
  await standby.end();
  await expect(read()).rejects.toMatchObject({
    kind: 'SourceUnavailable',
    message: 'This PostgreSQL server takes no writes while reading rows of public.t by key.',
  });
}, 120_000);
