import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

const DIRECT = { capture: 'wal', transport: 'direct' } as const;

describe('a partitioned table that is captured from the WAL', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath({ wal: true });
  });
  afterAll(() => path.close());

  const added = async (): Promise<{ t: string; followed: Followed }> => {
    const t = freshName('months');
    await path.source.query(/* sql */ `
      create table ${t} (id int, d date, v text, primary key (id, d)) partition by range (d);
      create table ${t}_1 partition of ${t} for values from ('2024-01-01') to ('2024-02-01');
      create table ${t}_d partition of ${t} default;
      create table ${t}_2 (v text, gone int, d date not null, id int not null, primary key (id, d));
      alter table ${t}_2 drop column gone;
      insert into ${t}_2 values ('pre', '2024-02-02', 50);
      insert into ${t} values (1, '2024-01-05', 'a'), (2, '2030-01-01', 'b'), (3, '2024-01-06', 'c')`);
    const followed = await path.add(t, DIRECT);
    await followed.copy();
    return { t, followed };
  };
  /** As the workflow does with a slice that says so. */
  const copyAgain = async (followed: Followed): Promise<void> => {
    expect(await followed.direct()).toMatchObject({ copyAgain: true });
    await followed.copy();
  };

  it('is equal after each change of its rows, whichever table the statement names', async () => {
    const { t, followed } = await added();
    for (const statement of [
      `insert into T values (4, '2024-01-07', 'd'), (5, '2024-05-01', 'e')`,
      `insert into T_1 values (6, '2024-01-08', 'direct')`,
      `update T set v = v || '!'`,
      `update T_d set v = v || '?'`,
      `update T set d = '2024-01-20' where id = 5`,
      `update T set d = '2026-01-20' where id = 1`,
      `update T set id = id + 100 where id = 3`,
      `alter table T_1 replica identity full`,
      `delete from T_1 where id = 6`,
      `delete from T where id = 2`,
      `create table T_3 partition of T for values from ('2024-03-01') to ('2024-04-01')`,
      `insert into T select i, '2024-03-05', 'm' from generate_series(1000, 1099) i`,
      // Its columns stand in another order, and it has rows.
      `alter table T attach partition T_2 for values from ('2024-02-01') to ('2024-03-01')`,
      `update T set v = 'through' where id in (50, 103)`,
      `insert into T_2 values ('direct', '2024-02-11', 60)`,
    ]) {
      await path.source.query(statement.replaceAll(/\bT/gu, t));
      await followed.expectEqual();
    }
    await followed.remove(true);
  });

  it('is copied again when a partition was emptied or taken out, which PostgreSQL does not send', async () => {
    const { t, followed } = await added();
    for (const statement of [
      `truncate T_1`,
      `insert into T_1 values (7, '2024-01-09', 'after')`,
      `alter table T detach partition T_d`,
      `truncate T`,
    ]) {
      await path.source.query(statement.replaceAll(/\bT/gu, t));
      if (!statement.startsWith('insert')) await copyAgain(followed);
      await followed.expectEqual();
    }
    await path.source.query(`insert into ${t} values (8, '2024-01-10', 'later')`);
    expect(await followed.expectEqual()).toBe(1);
    await followed.remove(true);
  });

  it('a row of a partition that was emptied does not come back from a part of the WAL that was not read yet', async () => {
    const { t, followed } = await added();
    const holder = await path.session();
    await holder.query('begin; select from pg2click.wal_reader for update');
    await path.source.query(`insert into ${t}_1 values (9, '2024-01-11', 'gone'); truncate ${t}_1`);
    const copying = copyAgain(followed);
    setTimeout(() => void holder.query('commit'), 1_000);
    await copying;
    expect(await followed.expectEqual()).toBe(1);
    await followed.remove(true);
  });

  it('parks, and lets people delete, when a partition comes that PostgreSQL would not let them delete from', async () => {
    const { t, followed } = await added();
    await path.source.query(`alter table ${t}_2 replica identity nothing;
      alter table ${t} attach partition ${t}_2 for values from ('2024-02-01') to ('2024-03-01')`);
    await expect(path.source.query(`delete from ${t}_2`)).rejects.toThrow(/replica identity/u);
    expect(await failureOf(() => followed.direct())).toMatchObject({ kind: 'SourceChanged' });
    expect((await path.source.query(`delete from ${t}_2`)).rowCount).toBe(1);
    await followed.remove(true);
  });
});
