import { afterAll, beforeAll, expect, it } from 'vitest';
import type pg from 'pg';
import type { Log } from '../../src/observe/log.js';
import { PublicationWatch } from '../../src/worker/publication-watch.js';
import { connectSource, drain, replicate } from '../support/source-table.js';
import { freshDatabase } from '../support/stack.js';

let client: pg.Client;
beforeAll(async () => {
  client = await connectSource(await freshDatabase('publications'));
});
afterAll(() => client.end());

it('a publication of everything that is made later is told once, and no write fails of it', async () => {
  await client.query(`create table t (id int primary key, v text)`);
  const table = await replicate(client, { schema: 'public', table: 't' });
  const told: string[] = [];
  const log = { warn: ({ publication }: { publication: string }) => told.push(publication) } as unknown as Log;
  const watch = new PublicationWatch(log, 0);
  await watch.look(client);
  expect(told).toEqual([]);
  await client.query(`create publication everything for all tables; create publication ours for tables in schema pg2click;
    create publication theirs for tables in schema public`);
  for (let turn = 0; turn < 3; turn += 1) await watch.look(client);
  expect(told).toEqual(['everything', 'ours']);
  await client.query(
    `insert into t values (1, 'x'), (2, 'y'); update t set v = 'z' where id = 1; delete from t where id = 2`,
  );
  expect(await drain(client, table)).toHaveLength(2);
  await client.query(`drop publication everything`);
  await watch.look(client);
  await client.query(`create publication everything for all tables`);
  await watch.look(client);
  expect(told).toEqual(['everything', 'ours', 'everything']);
});
