import { afterAll, beforeAll, expect, it } from 'vitest';
import { connectPostgres } from '../../src/connect/postgres.js';
import { findTable } from '../../src/ledger/tables.js';
import { glance } from '../../src/source/poll/glance.js';
import { openPath, type Path } from '../support/path.js';
import { waitFor } from '../support/wait-for.js';

/* A round of a quiet table is one message: what it must hold to all the same. */

const ROUNDS_MS = 4_000;
const POLLED = { capture: 'poll', engine: 'merge-tree', intervalMs: 20 } as const;

let path: Path;
beforeAll(async () => {
  path = await openPath();
});
afterAll(() => path.close());

const make = (table: string): Promise<unknown> =>
  path.source.query(/* sql */ `
    create table ${table} (id bigserial primary key, v text);
    grant select on ${table} to public; grant select on sequence ${table}_id_seq to public`);

it('a round names no id above the bound that it gives, while others draw ids', async () => {
  await make('drawn');
  await path.add('drawn', POLLED);
  const table = await findTable(path.deps.ledger, path.settings.pipeline, { schema: 'public', table: 'drawn' });
  if (table === undefined) throw new Error('the table is not prepared');
  const until = Date.now() + ROUNDS_MS;
  const writers = [1, 2, 3].map(async () => {
    const pg = await path.session();
    await pg.query('set synchronous_commit = off');
    while (Date.now() < until) await pg.query(`insert into drawn (v) values ('x')`);
  });
  await using pg = await connectPostgres(path.settings, { name: 'round' });
  let quick = 0;
  let above = 0;
  for (let after = -1n; Date.now() < until;) {
    const { found, last } = await glance(pg, table, { after, rows: 100_000 });
    after = last - 3n;
    if (found === undefined) continue;
    quick += 1;
    if ((found.ids.at(-1)?.last ?? 0n) > found.upTo) above += 1;
  }
  await Promise.all(writers);
  expect(quick).toBeGreaterThan(50);
  expect(above).toBe(0);
});

it('a view that has taken the name of the table is not evaluated', async () => {
  await make('named');
  await path.source.query(/* sql */ `
    create table loot (who text); grant insert on loot to public;
    create function evil() returns bigint language plpgsql volatile as $$
      begin insert into public.loot values (current_user); return 7; end $$`);
  const followed = await path.add('named', POLLED);
  await path.source.query(`insert into named (v) values ('a')`);
  await followed.settle();
  const slice = followed.direct(undefined, 30_000).then(
    () => 'it ended',
    (error: unknown) => error,
  );
  // It is past its first look at the table.
  await path.source.query(`insert into named (v) values ('while it runs')`);
  await waitFor(async () => (await followed.sink('select count() from {target}')) === '2', {
    deadlineMs: 20_000,
    what: 'the row',
  });
  await path.source.query(/* sql */ `
    begin;
    insert into named (v) values ('b');
    alter sequence named_id_seq owned by none;
    alter table named rename to renamed;
    create view named as select public.evil() as id, 'x'::text as v;
    grant select on named to public;
    commit`);
  // The table is read under its new name.
  expect(await slice).toBe('it ended');
  await followed.settle();
  expect(await followed.sink('select arraySort(groupArray(v)) from {target}')).toBe(`['a','b','while it runs']`);
  expect((await path.source.query('select * from loot')).rows).toEqual([]);
});
