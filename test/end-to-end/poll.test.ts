import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

const WAYS: readonly (readonly [string, TableOptions])[] = [
  ['poll, directly', { capture: 'poll' }],
  ['poll, through a topic', { capture: 'poll', transport: 'kafka' }],
  ['poll, through a topic, many rows a message', { capture: 'poll', transport: 'kafka', format: 'packed' }],
  ['notify, directly', { capture: 'notify' }],
  ['notify, through a topic', { capture: 'notify', transport: 'kafka' }],
];

let path: Path;
beforeAll(async () => {
  path = await openPath();
  await path.source.query(
    `do $$ begin execute format('alter default privileges grant select on sequences to %I', '${path.settings.postgres.user}'); end $$`,
  );
});
afterAll(() => path.close());

async function make(): Promise<string> {
  const table = freshName('t');
  await path.source.query(`create table ${table} (id bigserial primary key, name text, at timestamptz default now())`);
  return table;
}

for (const [way, options] of WAYS)
  describe(way, () => {
    it('brings every row, those that were there before it was added too, and as they come', async () => {
      const table = await make();
      await path.source.query(`insert into ${table} (name) select E'row\\t' || n from generate_series(1, 5000) n`);
      await path.source.query(`delete from ${table} where id % 10 = 0`);
      const followed = await path.add(table, options);
      expect(await followed.expectEqual()).toBe(4_500);
      await path.source.query(`insert into ${table} (name) values (null), ('ü'), (E'\\\\N')`);
      expect(await followed.expectEqual()).toBe(4_503);
    });

    it('brings a row whose id was drawn long before it was inserted, and one that commits late', async () => {
      const table = await make();
      const followed = await path.add(table, options);
      const drawn = await path.source.query(`select nextval('${table}_id_seq')::text as id`);
      await path.source.query(`insert into ${table} (name) values ('after')`);
      await followed.expectEqual();
      await path.source.query(`insert into ${table} (id, name) values (${drawn.rows[0].id}, 'late')`);
      await expect.poll(() => followed.expectEqual(), { timeout: 20_000 }).toBe(2);
      const late = await path.session();
      await late.query(`begin; insert into ${table} (name) values ('commits late')`);
      await path.source.query(`insert into ${table} (name) values ('commits first')`);
      const commit = new Promise((resolve) => setTimeout(resolve, 1_500)).then(() => late.query('commit'));
      for (let tries = 0; tries < 10; tries += 1) await followed.settle();
      await commit;
      await expect.poll(() => followed.expectEqual(), { timeout: 20_000 }).toBe(4);
    });

    it('hides the rows of an older history when the table is added again, also where it is empty now', async () => {
      const table = await make();
      await path.source.query(`insert into ${table} (name) values ('old'), ('older')`);
      const first = await path.add(table, options);
      expect(await first.expectEqual()).toBe(2);
      await first.remove();
      await path.source.query(`delete from ${table}`);
      const second = await path.add(table, options);
      expect(await second.expectEqual()).toBe(0);
      await path.source.query(`insert into ${table} (name) values ('new')`);
      expect(await second.expectEqual()).toBe(1);
      await second.remove();
    });
  });
