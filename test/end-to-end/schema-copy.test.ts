import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { addLoader } from '../../activities/change-loaders.js';
import { copyTable } from '../../activities/copy-table.js';
import { loadSlice } from '../../activities/load-slice.js';
import { compareTable, isEqual } from '../../dev/compare/compare.js';
import { failureOf } from '../support/failure-of.js';
import type { SliceReceipt } from '../../src/domain/receipt.js';
import { openPath, type Followed, type Path } from '../support/path.js';

let path: Path;
beforeAll(async () => {
  path = await openPath();
  // For polls.
  await path.source.query(
    `do $$ begin execute format('alter default privileges grant select on sequences to %I', '${path.settings.postgres.user}'); end $$`,
  );
});
afterAll(() => path.close());

const of = (name: string, sql: string): string => sql.replaceAll(/\bT(?=\b|_pkey)/gu, name);

/** As the workflow does: slices until nothing waits, and every first load that a receipt says begins again. */
async function follow(table: Followed): Promise<readonly string[]> {
  const receipt = await (table.receipt.topic === null ? table.direct() : table.publish());
  await table.settle();
  if (receipt.copyAgain === true) await table.copy();
  return (receipt.shapes ?? []).map(({ class: kind, change }) => `${kind}: ${change}`);
}

describe('what PostgreSQL wrote again is read again', () => {
  it.each([
    {
      what: 'a default that is computed for each row',
      alter: 'alter table T add c float8 default random()',
      after: `insert into T (id, v) values (10, 'new')`,
    },
    {
      what: 'an identity column',
      alter: 'alter table T add c int generated always as identity',
      after: `insert into T (id, v) values (10, 'new')`,
    },
    {
      what: 'a stored expression',
      alter: 'alter table T add c int generated always as (a * 2) stored',
      after: `update T set a = 100 where id = 1`,
    },
    {
      what: 'an integer that becomes a bigint',
      alter: 'alter table T alter a type bigint',
      after: `update T set a = 3000000000 where id = 2`,
    },
    {
      what: 'an integer that becomes a bigint with other values',
      alter: 'alter table T alter a type bigint using a + 1000000000000',
      after: `update T set a = 0 where id = 2`,
    },
    {
      what: 'values that are computed anew under the same type',
      alter: 'alter table T alter a type int using -a, alter v type text using upper(v)',
      after: `insert into T (id, a, v) values (10, 1, 'new')`,
    },
    {
      what: 'a numeric with more digits behind the point',
      alter: 'alter table T alter n type numeric(12,4)',
      after: `update T set n = 1.2345 where id = 1`,
    },
    {
      what: 'an enum label with another name',
      alter: `alter type mood rename value 'sad' to 'blue'`,
      after: `insert into T (id, m) values (10, 'blue')`,
    },
    {
      what: 'an enum type that is made again',
      alter: `begin; create type mood2 as enum ('fine', 'sad', 'new'); alter table T alter m type mood2 using m::text::mood2; commit`,
      after: `insert into T (id, m) values (10, 'new')`,
    },
  ])('$what', async ({ alter, after }) => {
    const name = `written_${Math.random().toString(36).slice(2)}`;
    await path.source.query(`drop type if exists mood cascade; drop type if exists mood2 cascade;
      create type mood as enum ('fine', 'sad')`);
    await path.source.query(
      of(
        name,
        `create table T (id int primary key, a int, n numeric(6,2), v text, m mood);
        insert into T select g, g, g, 'v' || g, 'sad' from generate_series(1, 5) g`,
      ),
    );
    const table = await path.add(name);
    await table.copy();
    await path.source.query(of(name, `update T set v = 'in flight' where id = 5`));
    await table.publish();
    await path.source.query(of(name, alter));
    await path.source.query(of(name, `delete from T where id = 4; ${after}`));
    const changes = await follow(table);
    expect(changes).toHaveLength(1);
    expect(changes[0]).toMatch(/^copy: /u);
    expect(await table.expectEqual()).toBeGreaterThan(3);
    await path.source.query(of(name, `delete from T where id = 3; update T set a = 7 where id = 5`));
    expect(await table.expectEqual()).toBeGreaterThan(2);
  });
});

describe('what cannot be followed parks, and the table stays as it was', () => {
  it.each([
    ['the key gets another type', 'alter table T alter id type bigint', 'the key column id was changed'],
    ['a type that the old column cannot hold', 'alter table T alter a type text', 'the column a was changed'],
    ['the key column is dropped', 'alter table T drop id', 'the key column id was dropped'],
    [
      'the key of another column',
      'alter table T drop constraint T_pkey; alter table T add primary key (a)',
      'no suitable unique index',
    ],
  ])('%s', async (_, alter, sentence) => {
    const name = `refused_${Math.random().toString(36).slice(2)}`;
    await path.source.query(of(name, `create table T (id int primary key, a int); insert into T values (1, 1)`));
    const table = await path.add(name);
    await table.copy();
    await path.source.query(of(name, alter));
    expect(await failureOf(() => table.publish())).toMatchObject({
      kind: 'SourceChanged',
      message: expect.stringContaining(sentence) as string,
      remedy: expect.stringContaining('--drop-target') as string,
    });
    await table.remove(true);
    if (/drop id/u.test(alter)) return;
    const again = await path.add(name);
    await again.copy();
    expect(await again.expectEqual()).toBe(1);
  });
});

it('the Kafka engine of ClickHouse would miss a new column: publishing parks before a message has it', async () => {
  await path.source.query(`create table engine_read (id int primary key); insert into engine_read values (1)`);
  const table = await path.add('engine_read', { loader: 'kafka-engine' });
  await table.copy();
  await path.source.query(`alter table engine_read add c int default 5; insert into engine_read values (2, 7)`);
  expect(await failureOf(() => table.publish())).toMatchObject({
    kind: 'SourceChanged',
    message: expect.stringContaining(
      "the column c was added, which ClickHouse's Kafka engine does not follow",
    ) as string,
    remedy: expect.stringMatching(
      /^Run pg2click remove public.engine_read --drop-target, then pg2click add .* --loader kafka-engine/u,
    ) as string,
  });
  await table.remove(true);
});

it('each of several loaders follows when it comes to it, one that is late and one that was added later', async () => {
  const name = 'loaders';
  await path.source.query(
    of(
      name,
      `create table T (id int primary key, a int, v text);
    insert into T select g, g, 'v' || g from generate_series(1, 5) g`,
    ),
  );
  const table = await path.add(name);
  await table.copy();
  await table.call(addLoader, { loader: { name: 'late', target: 'late_copy' } });
  await table.slice(copyTable, 'copy:late');
  // Until two slices in turn find nothing: one of a slow moment may end before it has looked.
  const untilQuiet = async (slice: () => Promise<SliceReceipt>): Promise<void> => {
    for (let quiet = 0; quiet < 2;) {
      const { batches, waiting, shapes = [] } = await slice();
      quiet = batches + waiting + shapes.length === 0 ? quiet + 1 : 0;
    }
  };
  const drain = (stage: string): Promise<void> => untilQuiet(() => table.slice(loadSlice, stage));
  const expectEqual = async (target: string): Promise<void> => {
    const [database = ''] = table.receipt.target.split('.');
    const view = { database, table: `${target}_current` };
    const { deps, source } = path;
    const found = await compareTable({ postgres: source, clickhouse: deps.clickhouse, table: table.name, view });
    expect(found, JSON.stringify(found.differences)).toSatisfy(isEqual);
  };
  await path.source.query(of(name, `insert into T values (6, 6, 'six')`));
  await table.publish();
  await path.source.query(
    of(name, `alter table T drop v; alter table T rename a to v; alter table T add a int default 9`),
  );
  await path.source.query(of(name, `insert into T values (7, 7, 7); update T set a = null where id = 1`));
  await table.publish();
  await table.publish();
  await drain('load:main');
  await expectEqual(name);
  await table.call(addLoader, { loader: { name: 'newer', target: 'newer_copy' } });
  await path.source.query(of(name, `insert into T values (8, 8, 8)`));
  await table.publish();
  await table.slice(copyTable, 'copy:newer');
  // All loaders read the table again for what PostgreSQL has written again.
  await path.source.query(of(name, `alter table T alter a type bigint using a * 2`));
  expect(await table.publish()).toMatchObject({ copyAgain: true });
  for (const stage of ['load:main', 'load:late', 'load:newer']) await drain(stage);
  for (const stage of ['copy', 'copy:late', 'copy:newer']) await table.slice(copyTable, stage);
  expect((await table.publish()).copyAgain).toBeUndefined();
  await path.source.query(of(name, `delete from T where id = 2; insert into T values (9, 9, 9)`));
  await untilQuiet(() => table.publish());
  for (const stage of ['load:main', 'load:late', 'load:newer']) await drain(stage);
  for (const target of [name, 'late_copy', 'newer_copy']) await expectEqual(target);
});

describe('a table that only grows', () => {
  it.each([
    { way: 'to a topic', options: { capture: 'poll' } },
    { way: 'directly', options: { capture: 'poll', transport: 'direct' } },
  ] as const)('is followed by its sequence, $way', async ({ way, options }) => {
    const name = `grows_${way.replaceAll(' ', '_')}`;
    await path.source.query(
      of(
        name,
        `create table T (id bigserial primary key, v text);
      insert into T (v) select 'v' || g from generate_series(1, 5) g`,
      ),
    );
    const table = await path.add(name, { ...options, engine: 'replacing' });
    await table.settle();
    await path.source.query(of(name, `insert into T (v) values ('six')`));
    await path.source.query(of(name, `alter table T add c int default 5; alter table T rename id to number`));
    await path.source.query(of(name, `insert into T (v, c) values ('seven', 7)`));
    await table.settle();
    await path.source.query(
      of(name, `alter table T rename v to w; alter table T add v int; insert into T (w, v) values ('eight', 8)`),
    );
    expect(await table.expectEqual()).toBe(8);
  });

  it('is followed into a plain MergeTree: renamed columns keep their names there', async () => {
    const name = 'plain';
    await path.source.query(
      of(
        name,
        `create table T (id bigserial primary key, v text);
      insert into T (v) select 'v' || g from generate_series(1, 5) g`,
      ),
    );
    const table = await path.add(name, { capture: 'poll', transport: 'direct', engine: 'merge-tree' });
    await table.settle();
    await path.source.query(of(name, `insert into T (v) values ('six'); alter table T add c int default 5`));
    await path.source.query(of(name, `insert into T (v, c) values ('seven', 7)`));
    expect(await table.expectEqual()).toBe(7);
    await path.source.query(
      of(name, `alter table T rename id to number; alter table T rename v to w; alter table T drop c`),
    );
    await path.source.query(of(name, `insert into T (w) values ('eight')`));
    await table.settle();
    expect(await table.sink('select id, v, c from {target} where id > 5 order by id')).toBe(
      '6\tsix\t5\n7\tseven\t7\n8\teight\t5',
    );
    await path.source.query(of(name, `alter table T add r float8 default random()`));
    expect(await failureOf(() => table.direct())).toMatchObject({ kind: 'SourceChanged' });
  });
});

it('a partitioned table is followed, and read again where its partitions were written again', async () => {
  const name = 'parted';
  await path.source.query(
    of(
      name,
      `create table T (id int, a int, v text, primary key (id)) partition by range (id);
      create table T_pkeyless partition of T for values from (0) to (100);
      create table T_pkeyless2 partition of T for values from (100) to (200);
      insert into T select g, g, 'v' || g from generate_series(1, 5) g; insert into T values (101, 1, 'other')`,
    ).replaceAll('_pkeyless', '_part'),
  );
  const table = await path.add(name);
  await table.copy();
  await table.settle();
  await path.source.query(of(name, `alter table T add c int default 5; alter table T rename a to b`));
  await path.source.query(
    of(name, `insert into T values (6, 6, 'six', 6), (102, 2, 'two', null); delete from T where id = 1`),
  );
  expect(await table.expectEqual()).toBe(7);
  await path.source.query(of(name, `alter table T alter b type bigint using b + 1000000000000`));
  await path.source.query(of(name, `update T set c = 1 where id = 2`));
  expect(await follow(table)).toEqual(['copy: the column b was changed from integer to bigint']);
  expect(await table.expectEqual()).toBe(7);
});
