import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { addLoader, removeLoader } from '../../activities/change-loaders.js';
import { copyTable } from '../../activities/copy-table.js';
import { loadSlice } from '../../activities/load-slice.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { keptRows } from '../support/quarantine.js';
import { freshName } from '../support/stack.js';

// The sides are compared after each of many statements.
vi.setConfig({ testTimeout: 240_000 });

let path: Path;
beforeAll(async () => {
  path = await openPath();
  await path.source.query(
    `do $$ begin execute format('alter default privileges grant select on sequences to %I', '${path.settings.postgres.user}'); end $$`,
  );
});
afterAll(() => path.close());

const WHERE = 'tenant_id = 7 and not test';
/** Row n is inside where n % 10 is 7 and n % 3 is not 0; each eleventh has no tenant. */
const rowsSql = (first: number, last: number): string =>
  `select g, nullif(g % 10, case when g % 11 = 0 then g % 10 end), g % 3 = 0, 'v' || g from generate_series(${first}, ${last}) g`;

const run = (table: string, sql: string) => path.source.query(sql.replaceAll(/\bT\b/gu, table));
const count = async (table: string, where: string): Promise<number> =>
  Number((await path.source.query(`select count(*) as rows from ${table} where ${where}`)).rows[0]?.rows);

async function make(rows = 100): Promise<string> {
  const table = freshName('f');
  await run(table, `create table T (id int primary key, tenant_id int, test boolean not null default false, v text)`);
  await run(table, `insert into T ${rowsSql(1, rows)}`);
  return table;
}

async function follow(table: string, options: TableOptions): Promise<Followed> {
  const followed = await path.add(table, options);
  if (followed.receipt.stages?.some(({ activity }) => activity === 'copyTable') === true) await followed.copy();
  await followed.expectEqual();
  return followed;
}

const WAYS: readonly (readonly [string, TableOptions])[] = [
  ['json', { format: 'json' }],
  ['packed', { format: 'packed' }],
  ['keys', { payload: 'key' }],
  ['direct', { transport: 'direct' }],
  ['kafka engine', { loader: 'kafka-engine' }],
];

/** Each by itself: what enters, what leaves, what is outside before and after, and keys that become others. */
const CHANGES: readonly string[] = [
  `insert into T ${rowsSql(101, 300)}`,
  `update T set tenant_id = 7, test = false where id between 1 and 20`,
  `update T set tenant_id = 8 where id in (1, 3, 17)`,
  `update T set test = true where id in (5, 7)`,
  `update T set tenant_id = null where id in (9)`,
  `update T set v = v || '!' where tenant_id = 8`,
  `update T set v = v || '?' where tenant_id = 7`,
  `delete from T where id in (2, 4, 200, 203, 206)`,
  `update T set id = id + 1000 where id in (6, 8, 30, 31)`,
  `update T set id = id + 1000, tenant_id = 7, test = false where id in (32, 33)`,
  `update T set id = id + 1000, tenant_id = 1 where id in (37, 47)`,
  `update T set tenant_id = 7, test = false where id = 50; update T set tenant_id = 1 where id = 50`,
  `update T set tenant_id = 1 where id = 67; update T set tenant_id = 7 where id = 67`,
  `delete from T where id = 10; insert into T values (10, 1, false, 'outside now')`,
  `delete from T where id = 50; insert into T values (50, 7, false, 'inside now')`,
  `truncate T; insert into T ${rowsSql(1, 50)}`,
  `update T set tenant_id = tenant_id + 1`,
];

describe.each(WAYS)('%s: only rows for which the filter is true are there', (_, options) => {
  it('after each change that brings rows in or takes them out', async () => {
    const table = await make();
    const followed = await follow(table, { ...options, where: WHERE });
    for (const change of CHANGES) {
      await run(table, change);
      expect(await followed.expectEqual(), change).toBe(await count(table, WHERE));
    }
    expect(await followed.sink('select countIf(tenant_id != 7 or test) from {current}')).toBe('0');
  });

  it('after all of them at once', async () => {
    const table = await make();
    const followed = await follow(table, { ...options, where: WHERE });
    for (const change of CHANGES) await run(table, change);
    expect(await followed.expectEqual()).toBe(await count(table, WHERE));
  });
});

const GROWING: readonly (readonly [string, TableOptions])[] = [
  ['poll', { capture: 'poll' }],
  ['poll, a plain MergeTree', { capture: 'poll', engine: 'merge-tree' }],
  ['poll, a topic', { capture: 'poll', transport: 'kafka' }],
  ['notify', { capture: 'notify' }],
];

it.each(GROWING)('%s: rows outside of the filter are passed over, and are no gaps', async (_, options) => {
  const table = freshName('g');
  await run(table, `create table T (id bigserial primary key, tenant_id int, test boolean not null, v text)`);
  const insert = (tenant: string, rows: number) =>
    run(
      table,
      `insert into T (tenant_id, test, v) select ${tenant}, g % 3 = 0, 'v' || g from generate_series(1, ${rows}) g`,
    );
  await insert('g % 10', 5_000);
  const followed = await path.add(table, { ...options, where: WHERE });
  expect(await followed.expectEqual()).toBe(await count(table, WHERE));
  // Not one of a whole batch.
  await insert('1', 2_000);
  expect(await followed.expectEqual()).toBe(await count(table, WHERE));
  await insert('7', 30);
  followed.forget();
  expect(await followed.expectEqual()).toBe(await count(table, WHERE));
  const { rows } = await path.source.query(
    `select position -> 'gaps' as gaps from pg2click.stage where table_id = $1`,
    [followed.receipt.id],
  );
  expect(rows.flatMap(({ gaps }) => (gaps ?? []) as unknown[])).toEqual([]);
});

it('a partitioned table is filtered as a whole, also rows that come with a partition', async () => {
  const table = freshName('p');
  await path.source
    .query(`create table ${table} (id int, tenant_id int, test boolean, v text, primary key (id, tenant_id))
      partition by list (tenant_id);
    create table ${table}_7 partition of ${table} for values in (7);
    create table ${table}_d partition of ${table} default;
    insert into ${table} select g, g % 7 + 1, g % 3 = 0, 'v' || g from generate_series(1, 100) g`);
  const where = 'tenant_id in (7, 20) and not test';
  const followed = await follow(table, { where });
  await run(table, `update T set tenant_id = 7 where id in (1, 2)`);
  expect(await followed.expectEqual()).toBe(await count(table, where));
  await run(table, `update T set tenant_id = 1 where id in (1, 6)`);
  expect(await followed.expectEqual()).toBe(await count(table, where));
  await path.source.query(`create table ${table}_20 (like ${table} including all);
    insert into ${table}_20 values (500, 20, false, 'in'), (501, 20, true, 'out');
    alter table ${table} attach partition ${table}_20 for values in (20)`);
  expect(await followed.expectEqual()).toBe(await count(table, where));
});

describe('the columns of a filter', () => {
  it.each(WAYS.slice(0, 4))('%s: may be renamed, and swapped with others, while rows flow', async (_, options) => {
    const table = await make();
    await run(table, `alter table T add other int default 7`);
    const followed = await path.add(table, { ...options, where: WHERE });
    await followed.copy();
    await run(table, `insert into T ${rowsSql(101, 200).replace(' from', ', 7 from')}`);
    await run(
      table,
      `alter table T rename tenant_id to x; alter table T rename other to tenant_id; alter table T rename x to "O""ther"`,
    );
    await run(table, `update T set "O""ther" = 7 where id in (1, 2); update T set "O""ther" = 1 where id in (17)`);
    await followed.settle();
    const { rows } = await path.source.query(
      `select count(*)::int as rows, coalesce(sum(id), 0)::text as ids from ${table} where "O""ther" = 7 and not test`,
    );
    expect(await followed.sink('select count(), sum(id) from {current}')).toBe(`${rows[0]?.rows}\t${rows[0]?.ids}`);
  });

  it.each(WAYS.slice(0, 4))('%s: may be written again, and the table is read again', async (_, options) => {
    const table = await make();
    const followed = await follow(table, { ...options, where: WHERE });
    await run(table, `alter table T alter tenant_id type int using tenant_id + 1; insert into T ${rowsSql(101, 200)}`);
    // As the workflow does: what it reads is another shape, of the class that is copied again.
    await followed.settle();
    await followed.copy();
    expect(await followed.expectEqual()).toBe(await count(table, WHERE));
  });

  const PARKING: readonly (readonly [string, TableOptions, string, RegExp, RegExp])[] = [
    ['is dropped', {}, 'drop tenant_id', /filter uses the column tenant_id, which was dropped/u, /--where CONDITION/u],
    [
      'gets another type',
      {},
      'alter tenant_id type bigint',
      /filter uses the column tenant_id, which was changed from integer to bigint/u,
      /--where '\(\("tenant_id" = 7\) AND \(NOT "test"\)\)'/u,
    ],
    [
      'is left out and renamed',
      { excluded: ['tenant_id'] },
      'rename tenant_id to tenant',
      /filter uses the column tenant_id, which is left out and was renamed to tenant/u,
      /--where '\(\("tenant" = 7\) AND \(NOT "test"\)\)' --exclude-column tenant/u,
    ],
    [
      'is left out and gets another type',
      { excluded: ['tenant_id'] },
      'alter tenant_id type bigint',
      /filter uses the column tenant_id, which was changed from integer to bigint/u,
      /--exclude-column tenant_id/u,
    ],
    [
      'is left out and written again',
      { excluded: ['tenant_id'] },
      'alter tenant_id type int using tenant_id + 1',
      /values of column tenant_id may have been rewritten|left out and may have been written again/u,
      /--exclude-column tenant_id/u,
    ],
  ];
  it.each(PARKING)(
    'a column that %s parks the table, with commands that lead out',
    async (_, options, alter, says, remedy) => {
      const table = await make();
      const followed = await path.add(table, { ...options, where: WHERE });
      await followed.copy();
      await followed.settle();
      await run(table, `alter table T ${alter}; insert into T (id, v) values (1000, 'after')`);
      followed.forget();
      const parked: unknown = await followed.publish().catch((error: unknown) => error);
      expect(parked).toMatchObject({
        kind: 'SourceChanged',
        message: expect.stringMatching(says) as string,
        remedy: expect.stringMatching(remedy) as string,
      });
      await followed.remove(true);
      const again = /--where '(?<where>[^']+)'/u.exec((parked as { remedy: string }).remedy)?.groups?.['where'];
      const excluded = /--exclude-column (?<column>\w+)/u.exec((parked as { remedy: string }).remedy)?.groups?.[
        'column'
      ];
      const anew = await path.add(table, {
        ...(again === undefined ? {} : { where: again }),
        ...(excluded === undefined ? {} : { excluded: [excluded] }),
      });
      await anew.copy();
      await anew.settle();
      expect(await anew.sink('select count() from {current}')).toBe(String(await count(table, again ?? 'true')));
    },
  );
});

describe('a filter that fails for a row', () => {
  it.each(WAYS.slice(0, 4))('%s: parks the table, and it goes on when the row is corrected', async (_, options) => {
    const table = await make(9);
    const followed = await follow(table, { ...options, where: '70 / tenant_id > 10' });
    await run(table, `insert into T values (100, 0, false, 'secret'), (101, 2, false, 'fine')`);
    await expect(followed.settle()).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: `The row filter of public.${table}, ((70 / "tenant_id") > 10), fails with SQLSTATE 22012 when rows are read.`,
      remedy: expect.stringMatching(/^Correct the row that it fails for, .* then run pg2click resume/u) as string,
    });
    await run(table, `update T set tenant_id = 1 where id = 100`);
    expect(await followed.expectEqual()).toBeGreaterThan(2);
  });

  it('for a type that was renamed parks the table, and it goes on when the type has its name back', async () => {
    const table = await make(1);
    await run(
      table,
      `create type T_state as enum ('open', 'closed'); alter table T add state T_state default 'open'`.replaceAll(
        'T_',
        `${table}_`,
      ),
    );
    const followed = await path.add(table, { where: `state = 'open'`, excluded: ['state'] });
    await followed.copy();
    await followed.settle();
    await path.source.query(`alter type ${table}_state rename to ${table}_other`);
    await run(table, `insert into T (id, state) values (10, 'closed'), (11, 'open')`);
    await expect(followed.settle()).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: expect.stringMatching(/fails with SQLSTATE 42704 when rows are read/u) as string,
    });
    await path.source.query(`alter type ${table}_other rename to ${table}_state`);
    await followed.settle();
    expect(await followed.sink('select count() from {current}')).toBe('2');
  });

  it('fails its first load too, which goes on when the row is corrected', async () => {
    const table = await make(9);
    await run(table, `insert into T values (100, 0, false, 'secret')`);
    const followed = await path.add(table, { where: '70 / tenant_id > 10' });
    await expect(followed.copy()).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: expect.stringMatching(/fails with SQLSTATE 22012/u) as string,
    });
    await run(table, `delete from T where id = 100`);
    await followed.copy();
    expect(await followed.expectEqual()).toBeGreaterThan(2);
  });
});

it('a row in quarantine that leaves the filter is superseded by its tombstone', async () => {
  const table = freshName('q');
  await run(table, `create table T (id int primary key, tenant_id int, test boolean, day date)`);
  const followed = await follow(table, { where: WHERE });
  await run(
    table,
    `insert into T values (1, 7, false, '9999-12-31'), (2, 8, false, '9999-12-31'), (3, 7, false, '2024-01-01')`,
  );
  await followed.settle();
  expect(await keptRows(path, table)).toEqual([expect.objectContaining({ key: '["1"]', state: 'open' })]);
  await run(table, `update T set tenant_id = 8 where id = 1`);
  expect(await followed.expectEqual()).toBe(1);
  expect(await keptRows(path, table)).toEqual([expect.objectContaining({ key: '["1"]', state: 'superseded' })]);
});

it('a loader that is added later has the same rows, and a change of the route keeps them', async () => {
  const table = await make();
  const followed = await follow(table, { where: WHERE });
  const target = `${table}_second`;
  await followed.call(addLoader, { loader: { name: 'second', target } });
  await followed.slice(copyTable, 'copy:second');
  await run(
    table,
    `update T set tenant_id = 7, test = false where id in (2, 3); update T set tenant_id = 8 where id in (17, 37)`,
  );
  expect(await followed.expectEqual()).toBe(await count(table, WHERE));
  let moved = 1;
  while (moved > 0) ({ batches: moved } = await followed.slice(loadSlice, 'load:second'));
  const view = `\`${followed.receipt.target.split('.')[0]}\`.\`${target}_current\``;
  expect(await followed.sink(`select count(), sum(id) from ${view}`)).toBe(
    await followed.sink('select count(), sum(id) from {current}'),
  );
  await followed.call(removeLoader, { name: 'second', dropTarget: true });
  await followed.configure({ transport: 'direct' });
  await run(table, `insert into T ${rowsSql(101, 200)}; update T set tenant_id = 8 where id = 7`);
  expect(await followed.expectEqual()).toBe(await count(table, WHERE));
});
