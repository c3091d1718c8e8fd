import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { publishSlice } from '../../activities/publish-slice.js';
import type { SliceReceipt } from '../../src/domain/receipt.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { openPath, type Path } from '../support/path.js';
import { waitFor } from '../support/stack.js';

/** Far longer than a change may take to be seen. */
const IDLE_MS = 20_000;

/** What people do to a table. `T` is the table: id int primary key, a int, v text, with rows 1 to 3. */
interface Change {
  readonly what: string;
  readonly alter: string;
  /** Rows after it, from 10 on. */
  readonly after: string;
  /** The columns; the usual ones when absent. */
  readonly columns?: string;
  readonly rows?: string;
  /** Rows 4 to 6. */
  readonly inFlight?: string;
}

const CHANGES: readonly Change[] = [
  {
    what: 'a column is added',
    alter: 'alter table T add c int',
    after: `insert into T values (10, 1, 'new', 7), (11, 2, 'new', null); update T set c = 5 where id = 2`,
  },
  {
    what: 'a column is added with a constant default',
    alter: `alter table T add c int default 5, add d text default E'it''s \\\\ a\\ttab', add e timestamptz default '2024-02-29 12:00:00.123456+02'`,
    after: `insert into T (id, a, v) values (10, 1, 'new'); update T set c = null where id = 2`,
  },
  {
    what: 'a column is added that takes no NULL',
    alter: `alter table T add c numeric(10,2) not null default 1.50, add d bool not null default true`,
    after: `insert into T (id, a, v, c) values (10, 1, 'new', 2.25); update T set d = false where id = 2; delete from T where id = 3`,
  },
  {
    what: 'a column is dropped',
    alter: 'alter table T drop a',
    after: `insert into T values (10, 'new'); update T set v = 'changed' where id = 2`,
  },
  {
    what: 'a column that takes no NULL is dropped',
    columns: 'id int primary key, a int not null, v text',
    alter: 'alter table T drop a',
    after: `insert into T values (10, 'new')`,
  },
  {
    what: 'a column is renamed',
    alter: 'alter table T rename a to "A b"',
    after: `insert into T values (10, 1, 'new'); update T set "A b" = 8 where id = 2`,
  },
  {
    what: 'the key column is renamed',
    alter: 'alter table T rename id to number',
    after: `insert into T values (10, 1, 'new'); update T set a = 8 where number = 2; delete from T where number = 3`,
  },
  {
    what: 'two columns swap their names',
    columns: 'id int primary key, a int, v int',
    rows: `insert into T select g, g, -g from generate_series(1, 3) g`,
    inFlight: `insert into T select g, g, -g from generate_series(4, 6) g`,
    alter: 'alter table T rename a to x; alter table T rename v to a; alter table T rename x to v',
    after: `insert into T (id, a, v) values (10, 100, -100); update T set a = 0 where id = 2`,
  },
  {
    what: 'a column is dropped and another one of its name added',
    alter: 'alter table T drop v; alter table T add v text',
    after: `insert into T values (10, 1, 'new'); update T set v = 'changed' where id = 2`,
  },
  {
    what: 'a text gets longer',
    columns: 'id int primary key, a numeric(6,2), v varchar(3)',
    alter:
      'alter table T alter v type varchar(30); alter table T alter v type text; alter table T alter a type numeric(12,2)',
    after: `insert into T values (10, 1234567890.25, 'much longer')`,
  },
  {
    what: 'a NOT NULL is dropped',
    columns: 'id int primary key, a int not null, v text not null',
    alter: 'alter table T alter a drop not null, alter v drop not null',
    after: `insert into T values (10, null, null); update T set a = null where id = 2`,
  },
  {
    what: 'a NOT NULL is set',
    alter: 'alter table T alter a set not null, alter v set not null',
    after: `insert into T values (10, 5, 'new'); update T set a = 7 where id = 2`,
  },
  {
    what: 'several things happen at once',
    alter:
      "alter table T add c int default 3, drop a; alter table T rename v to a; alter table T add v text not null default 'x'",
    after: `insert into T (id, a, c, v) values (10, 'new', 1, 'y'); update T set a = 'changed' where id = 2`,
  },
];

let path: Path;
beforeAll(async () => {
  path = await openPath();
});
afterAll(() => path.close());

const of = (name: string, sql: string): string => sql.replaceAll(/\bT\b/gu, name);
const ROWS = 'insert into T select g, g, g::text from generate_series(1, 3) g';
const IN_FLIGHT = 'insert into T select g, g, g::text from generate_series(4, 6) g';

describe('the columns of a table are followed', () => {
  it.each(CHANGES.map((change, index) => ({ ...change, index })))('when $what', async (change) => {
    const { columns = 'id int primary key, a int, v text', index, alter, after } = change;
    const { rows = ROWS, inFlight = IN_FLIGHT } = change;
    const name = `t_${index}`;
    await path.source.query(of(name, `create table T (${columns}); ${rows}`));
    const table = await path.add(name);
    await table.copy();
    await table.expectEqual();
    // In the topic, when the columns change.
    await path.source.query(of(name, inFlight));
    await table.publish();
    await path.source.query(of(name, alter));
    await path.source.query(of(name, after));
    expect(await table.expectEqual()).toBeGreaterThan(3);
  });
});

/** One change after the other, each with rows before and after it. */
const HISTORY: readonly string[] = [
  `update T set v = 'one' where id = 1; alter table T add c int default 5`,
  `insert into T values (10, 10, 'ten', null); alter table T rename a to b`,
  `update T set b = -1 where id = 2; alter table T add a text`,
  `insert into T values (11, 11, 'eleven', 1, 'a'); alter table T drop v`,
  `update T set a = 'x' where id = 3; alter table T rename b to v`,
  `insert into T values (12, 12, null, 'b'); alter table T rename c to d; alter table T rename v to c; alter table T rename d to v`,
  `delete from T where id = 10; update T set a = 'y' where id = 11; alter table T rename id to number`,
  `update T set v = 0 where number = 12; alter table T add e varchar(3) not null default 'e'; alter table T alter e type text`,
];

const ROUTES: readonly { readonly way: string; readonly options: TableOptions }[] = [
  { way: 'JSON', options: {} },
  { way: 'packed', options: { format: 'packed' } },
  { way: 'keys', options: { payload: 'key' } },
  { way: 'direct', options: { transport: 'direct' } },
];

it.each(ROUTES)(
  'a loader that begins after many changes loads what was sent under each of them: $way',
  async ({ way, options }) => {
    const name = `history_${way.toLowerCase()}`;
    await path.source.query(of(name, `create table T (id int primary key, a int, v text); ${ROWS}`));
    const table = await path.add(name, options);
    await table.copy();
    await path.source.query(of(name, IN_FLIGHT));
    for (const step of HISTORY) {
      for (const statement of of(name, step).split('; ')) await path.source.query(statement);
      await (table.receipt.topic === null ? table.direct() : table.publish());
      if (table.receipt.topic !== null) await table.publish();
    }
    await path.source.query(of(name, `insert into T (number, c, v, a) values (20, 20, 20, 'last')`));
    expect(await table.expectEqual()).toBe(9);
  },
);

it('a table that idles is followed within seconds: nobody writes, and its view has the columns', async () => {
  await path.source.query(`create table idle (id int primary key); insert into idle values (1)`);
  const table = await path.add('idle');
  await table.copy();
  await table.settle();
  const [publishing, loading] = [table.publish({}, IDLE_MS), table.load({}, IDLE_MS)];
  // Both idle by then: they have looked at the columns once.
  await sleep(IDLE_MS / 4);
  await path.source.query(`alter table idle add c int default 5`);
  const startedAt = Date.now();
  expect(await publishing).toMatchObject({ batches: 0, shapes: [{ shape: 2, change: 'the column c was added' }] });
  await waitFor(async () => (await table.sink('select * from {current}')) === '1\t5', {
    deadlineMs: IDLE_MS,
    what: 'the view to have the column',
  });
  expect(Date.now() - startedAt).toBeLessThan(IDLE_MS / 2);
  await loading;
  // As after a receipt that was lost: the workflow knows the shape of before.
  const next = (shape: number): Promise<SliceReceipt> =>
    table.call(publishSlice, { stage: 'publish', checkpoint: null, sliceMs: 10, shape });
  expect((await next(1)).shapes).toMatchObject([{ shape: 2, change: 'the column c was added' }]);
  expect((await next(2)).shapes).toBeUndefined();
});
