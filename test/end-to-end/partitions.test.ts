import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName, waitFor } from '../support/stack.js';

// The sides are compared after each of many statements.
vi.setConfig({ testTimeout: 240_000 });

let path: Path;
beforeAll(async () => {
  path = await openPath();
});
afterAll(() => path.close());

/** Adds a table that was just made, with its rows. */
async function follow(table: string): Promise<Followed> {
  const followed = await path.add(table);
  await followed.copy();
  await followed.expectEqual();
  return followed;
}

/** Each statement by itself, with `T` in the place of the table's name; the sides are equal after each. */
async function expectEqualAfter(followed: Followed, statements: string): Promise<void> {
  const { table } = followed.name;
  for (const statement of statements.split(';').filter((each) => each.trim() !== '')) {
    await path.source.query(statement.replaceAll(/\bT/gu, table));
    await followed.expectEqual();
  }
}

async function run(table: string, statements: string): Promise<void> {
  for (const statement of statements.split(';')) await path.source.query(statement.replaceAll(/\bT/gu, table));
}

/** As the workflow does with a slice that says so. */
async function copyAgain(followed: Followed): Promise<void> {
  expect(await followed.publish()).toMatchObject({ copyAgain: true });
  await followed.copy();
  await followed.expectEqual();
}

async function makeMonths(): Promise<string> {
  const t = freshName('months');
  await path.source.query(/* sql */ `
    create table ${t} (id int, d date, v text, primary key (id, d)) partition by range (d);
    create table ${t}_1 partition of ${t} for values from ('2024-01-01') to ('2024-02-01');
    create table ${t}_d partition of ${t} default;
    create table ${t}_2 (v text, gone int, d date not null, id int not null, primary key (id, d));
    alter table ${t}_2 drop column gone;
    insert into ${t}_2 values ('pre', '2024-02-02', 50);
    insert into ${t} values (1, '2024-01-05', 'a'), (2, '2030-01-01', 'b'), (3, '2024-01-06', 'c')`);
  return t;
}

describe('a partitioned table is one target', () => {
  it('and equal after every change of its rows, whichever table the statement names', async () => {
    const t = await makeMonths();
    const followed = await follow(t);
    await expectEqualAfter(
      followed,
      `insert into T values (4, '2024-01-07', 'd'), (5, '2024-05-01', 'e');
       insert into T_1 values (6, '2024-01-08', 'direct');
       update T set v = v || '!';
       update T_d set v = v || '?';
       update T set d = '2024-01-20' where id = 5;
       update T set d = '2026-01-20' where id = 1;
       update T set id = id + 100 where id = 3;
       insert into T values (4, '2024-01-07', 'x') on conflict (id, d) do update set v = excluded.v;
       delete from T where id = 2;
       delete from T_1 where id = 6;
       truncate T_1;
       insert into T_1 values (7, '2024-01-09', 'after');
       truncate T;
       insert into T values (8, '2024-01-10', 'later'), (9, '2029-01-01', 'later')`,
    );
  });

  it('with rows that come with ATTACH, in a partition whose columns stand in another order', async () => {
    const t = await makeMonths();
    const followed = await follow(t);
    await expectEqualAfter(
      followed,
      `alter table T attach partition T_2 for values from ('2024-02-01') to ('2024-03-01');
       update T set d = '2024-02-10' where id = 1;
       insert into T_2 values ('direct', '2024-02-11', 60);
       update T set v = 'through' where id in (50, 60);
       truncate T_1;
       truncate T_2`,
    );
  });

  it('and a change that was open when the rows of the partition were taken in wins over them', async () => {
    const t = await makeMonths();
    const followed = await follow(t);
    await run(t, `alter table T attach partition T_2 for values from ('2024-02-01') to ('2024-03-01')`);
    const writer = await path.session();
    const { rows } = await writer.query<{ pid: number }>('select pg_backend_pid() as pid');
    await writer.query(`begin; update ${t} set v = 'open' where id = 50`);
    const taking = followed.publish();
    const outbox = `pg2click.outbox_${followed.receipt.id}`;
    await waitFor(
      async () => {
        const held = await path.source.query(
          `select from pg_locks where relation = $1::regclass and mode = 'RowExclusiveLock' and granted and pid <> $2`,
          [outbox, rows[0]?.pid],
        );
        return held.rowCount !== 0;
      },
      { deadlineMs: 60_000, what: 'the keys to be written' },
    );
    await writer.query('commit');
    await taking;
    await followed.expectEqual();
    expect(await followed.sink('select v from {current} where id = 50')).toBe('open');
  });

  it('and partitions that come later are captured from their first row', async () => {
    const t = await makeMonths();
    const followed = await follow(t);
    await expectEqualAfter(
      followed,
      `create table T_3 partition of T for values from ('2024-03-01') to ('2024-04-01');
       insert into T select i, '2024-03-05', 'm' from generate_series(1000, 1099) i;
       truncate T_3;
       create table T_4 partition of T for values from ('2024-04-01') to ('2024-05-01') partition by list (id);
       create table T_4a partition of T_4 for values in (1, 2, 3);
       insert into T values (1, '2024-04-02', 'deep'), (2, '2024-04-02', 'deep');
       truncate T_4`,
    );
  });
});

it.each([{}, { transport: 'direct' }] as const)(
  'rows that come and go with partitions, with %j: equal after each statement',
  async (options) => {
    const t = await makeMonths();
    const followed = await path.add(t, options);
    await followed.copy();
    for (const statement of [
      `alter table T attach partition T_2 for values from ('2024-02-01') to ('2024-03-01')`,
      `update T set d = '2024-02-10' where id = 1`,
      `insert into T_2 values ('direct', '2024-02-11', 60)`,
      'truncate T_1',
      'alter table T detach partition T_2',
      `insert into T_2 values ('outside', '2024-02-12', 70)`,
      'drop table T_1',
    ]) {
      await run(t, statement);
      const { copyAgain: isDue } = await (options.transport === 'direct' ? followed.direct() : followed.publish());
      if (isDue === true) await followed.copy();
      await followed.expectEqual();
    }
    expect(await followed.sink('select count() from {current} where id in (50, 70)')).toBe('0');
  },
);

describe('what no trigger sees', () => {
  it.each([
    ['DETACH', `alter table T detach partition T_1; insert into T_1 values (90, '2024-01-20', 'outside')`],
    ['DROP', 'drop table T_1'],
    [
      'ATTACH of a table that was rewritten',
      `insert into T_2 values ('x', '2024-02-03', 51); vacuum full T_2;
       alter table T attach partition T_2 for values from ('2024-02-01') to ('2024-03-01')`,
    ],
    [
      'TRUNCATE of a partition that came a moment before',
      `alter table T attach partition T_2 for values from ('2024-02-01') to ('2024-03-01');
       insert into T values (52, '2024-02-03', 'gone'); truncate T_2`,
    ],
  ])('%s: the table is copied again by itself, and what was there before is hidden', async (_, statements) => {
    const t = await makeMonths();
    const followed = await follow(t);
    await run(t, statements);
    await copyAgain(followed);
    // What changes meanwhile, and later, wins over the copy.
    await expectEqualAfter(followed, `insert into T values (53, '2024-01-30', 'later'); delete from T where id = 2`);
  });

  it('a copy that is due is not forgotten where the slice that ordered it was lost', async () => {
    const t = await makeMonths();
    const followed = await follow(t);
    await run(t, 'drop table T_1');
    expect(await followed.publish()).toMatchObject({ copyAgain: true });
    expect(await followed.publish()).toMatchObject({ copyAgain: true });
    await followed.copy();
    expect(await followed.publish()).not.toHaveProperty('copyAgain');
    await followed.expectEqual();
  });

  it.each([
    [
      'a trigger that was off',
      'alter table T_1 disable trigger user; alter table T_1 enable trigger user',
      'triggers of the partition public.T_1 were off, dropped or others for a while',
    ],
    [
      'TRUNCATE in a transaction that does not see all rows',
      'begin isolation level repeatable read; truncate T_1; commit',
      'has rows that changed while their keys were unknown',
    ],
    [
      'a partition that is made unlogged',
      'alter table T_1 set unlogged',
      'the partition public.T_1 is an unlogged table, which a crash empties',
    ],
  ])('%s: the table parks with the reason', async (_, statements, reason) => {
    const t = await makeMonths();
    const followed = await follow(t);
    await run(t, statements);
    await expect(failureOf(() => followed.publish())).resolves.toMatchObject({
      kind: 'SourceChanged',
      message: expect.stringContaining(reason.replaceAll(/\bT/gu, t)) as string,
    });
  });

  it('the remedy of such a park leads out: remove it, then add it', async () => {
    const t = await makeMonths();
    const followed = await follow(t);
    await run(t, 'begin isolation level repeatable read; truncate T_1; commit');
    await failureOf(() => followed.publish());
    await followed.remove();
    const again = await follow(t);
    await expectEqualAfter(again, `insert into T values (54, '2024-01-30', 'later')`);
  });

  it('a partition that our role may not put triggers on: its rows come, and its TRUNCATE has the table copied again', async () => {
    const t = await makeMonths();
    const followed = await follow(t);
    await path.source.query(`create table ${t}_3 partition of ${t} for values from ('2024-03-01') to ('2024-04-01');
      revoke all on ${t}_3 from ${path.settings.postgres.user}; insert into ${t} values (70, '2024-03-03', 'x')`);
    // Its rows cannot be found without reading the whole table.
    await copyAgain(followed);
    await path.source.query(`truncate ${t}_3`);
    await copyAgain(followed);
    await path.source.query(`grant select, trigger on ${t}_3 to ${path.settings.postgres.user}`);
    await expectEqualAfter(
      followed,
      `create table T_4 partition of T for values from ('2024-04-01') to ('2024-05-01');
       insert into T values (75, '2024-03-03', 'y');
       truncate T_3`,
    );
  });

  it('VACUUM FULL of a partition, its new name, row-level security on it and another parent change nothing', async () => {
    const t = await makeMonths();
    const followed = await follow(t);
    await expectEqualAfter(
      followed,
      `vacuum full T_1;
       alter table T_1 rename to T_one;
       alter table T_d enable row level security;
       insert into T values (71, '2024-01-03', 'x'), (72, '2031-01-01', 'y');
       create table T_all (id int, d date, v text) partition by list (id);
       alter table T_all attach partition T default;
       insert into T_all values (73, '2024-01-03', 'x')`,
    );
  });
});

describe('a table that is alone in a tree', () => {
  it('may be a partition: its own rows, also those that come and go through its root', async () => {
    const t = await makeMonths();
    const followed = await follow(`${t}_1`);
    await path.source.query(`insert into ${t} values (10, '2024-01-10', 'x'), (11, '2025-01-01', 'elsewhere')`);
    expect(await followed.expectEqual()).toBe(3);
    await path.source.query(`update ${t} set d = '2025-02-02' where id = 10; update ${t} set v = 'all'`);
    expect(await followed.expectEqual()).toBe(2);
    await path.source.query(
      `alter table ${t} detach partition ${t}_1; insert into ${t}_1 values (12, '2024-01-11', 'y')`,
    );
    expect(await followed.expectEqual()).toBe(3);
    await path.source.query(`truncate ${t}_1`);
    expect(await followed.expectEqual()).toBe(0);
  });

  it('may be a parent or a child by INHERITS: each has its own rows', async () => {
    const t = freshName('cities');
    await path.source.query(`create table ${t} (id int primary key, v text);
      create table ${t}_capital (primary key (id)) inherits (${t});
      insert into ${t} values (1, 'a'); insert into ${t}_capital values (1, 'b'), (2, 'c')`);
    const [parent, child] = [await path.add(t), await path.add(`${t}_capital`)];
    for (const each of [parent, child]) await each.copy();
    for (const statement of [
      `update ${t} set v = v || '!'`,
      `delete from ${t} where id = 2`,
      `insert into ${t}_capital values (3, 'd')`,
      `update ${t} set id = id + 10`,
      `truncate only ${t}`,
      `insert into ${t} values (5, 'e')`,
      `truncate ${t}`,
    ]) {
      await path.source.query(statement);
      await Promise.all([parent.settle(), child.settle()]);
      const equal = async (each: Followed, table: string): Promise<void> => {
        const rows = await path.source.query<{ id: number; v: string }>(`select id, v from only ${table} order by id`);
        const shown = await each.sink(
          `select arrayStringConcat(groupArray(concat(toString(id), v)), ' ') from (select * from {current} order by id)`,
        );
        expect(shown).toBe(rows.rows.map(({ id, v }) => `${id}${v}`).join(' '));
      };
      await equal(parent, t);
      await equal(child, `${t}_capital`);
    }
  });
});

describe('a partitioned table is refused by the name of the partition', () => {
  it('that is unlogged', async () => {
    const t = freshName('odd');
    await path.source.query(`create table ${t} (id int primary key) partition by range (id);
      create unlogged table ${t}_u partition of ${t} for values from (5) to (6)`);
    await expect(path.add(t)).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: expect.stringContaining(`has the partition public.${t}_u, which is an unlogged table`) as string,
    });
  });
});
