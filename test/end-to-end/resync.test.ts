import { describe, expect, it, vi } from 'vitest';
import { addLoader } from '../../activities/change-loaders.js';
import { changeKept } from '../../activities/change-kept.js';
import { cancelBackfill, startBackfill } from '../../activities/change-backfills.js';
import { copyTable } from '../../activities/copy-table.js';
import { loadSlice } from '../../activities/load-slice.js';
import { keptKeys } from '../support/quarantine.js';
import { freshName } from '../support/stack.js';
import { openResyncs, ROWS } from '../support/resyncs.js';

vi.setConfig({ testTimeout: 240_000 });

describe('a resync', () => {
  const { path, add, begin, run, damage, tablesOf, onlyThose } = openResyncs();

  for (const transport of ['kafka', 'direct'] as const)
    describe(`of a table over ${transport}`, () => {
      it('heals it whatever was done to it, while it is written, and readers see the old state or the new one', async () => {
        const orders = await add({ transport });
        const { table } = orders.name;
        await damage(orders);
        const seen = new Set<string>();
        let isOver = false;
        const state = `select count(), sum(id), countIf(v not like 'x%') from {current}`;
        const damaged = await orders.sink(state);
        const reader = (async () => {
          while (!isOver) seen.add(await orders.sink(state));
        })();
        const write = async (): Promise<void> => {
          await path().source.query(`update ${table} set v = v || 'y' where id % 1000 = 5`);
          await orders.settle();
        };
        const stage = await begin(orders);
        await write();
        expect((await orders.slice(copyTable, stage, 10)).finished).toBe(false);
        await write();
        expect((await run(orders, stage)).rows).toBe(ROWS);
        await write();
        isOver = true;
        await reader;
        const healed = `${ROWS}\t${(ROWS * (ROWS + 1)) / 2}\t0`;
        expect(await orders.sink(state)).toBe(healed);
        expect([...seen].toSorted()).toEqual([damaged, healed].toSorted());
        await path().source
          .query(`delete from ${table} where id in (7, 4000); insert into ${table} values (${ROWS + 1}, 'x');
          update ${table} set id = -1 where id = 9`);
        expect(await orders.expectEqual()).toBe(ROWS - 1);
        expect(await tablesOf(orders)).toBe(onlyThose(orders));
      });

      it('has every change that comes while its table is filled, deletions and a TRUNCATE too', async () => {
        const orders = await add({ transport });
        const { table } = orders.name;
        const stage = await begin(orders);
        await path().source.query(
          `delete from ${table} where id <= 10; update ${table} set id = id + 100000 where id <= 20`,
        );
        await orders.settle();
        await orders.slice(copyTable, stage, 10);
        await path().source.query(`delete from ${table} where id <= 30; insert into ${table} values (1, 'back')`);
        await orders.settle();
        await orders.slice(copyTable, stage, 10);
        await path().source.query(
          `truncate ${table}; insert into ${table} select i, 'new' from generate_series(1, 7) i`,
        );
        await orders.settle();
        await run(orders, stage);
        expect(await orders.expectEqual()).toBe(7);
        await path().source.query(`delete from ${table}`);
        expect(await orders.expectEqual()).toBe(0);
      });

      it('of a table that became empty leaves it empty, and its stages go on', async () => {
        const orders = await add({ transport });
        const { table } = orders.name;
        await path().source.query(`delete from ${table}`);
        await orders.settle();
        await run(orders, await begin(orders));
        orders.forget();
        expect(await orders.expectEqual()).toBe(0);
        await path().source.query(`insert into ${table} values (1, 'x')`);
        expect(await orders.expectEqual()).toBe(1);
      });
    });

  it('that is asked for twice under one id is done once, and the next one has a name of its own', async () => {
    const orders = await add();
    const stage = await begin(orders, 'twice');
    expect(stage).toBe('copy:resync-1');
    expect(await begin(orders, 'twice')).toBe(stage);
    expect((await run(orders, stage)).rows).toBe(ROWS);
    expect(await begin(orders, 'twice')).toBe(stage);
    expect((await run(orders, stage)).rows).toBe(ROWS);
    expect(await begin(orders, 'again')).toBe('copy:resync-2');
    await run(orders, 'copy:resync-2');
    expect(await orders.expectEqual()).toBe(ROWS);
    expect(await tablesOf(orders)).toBe(onlyThose(orders));
  });

  it('keeps the old table under a name of its own where that is asked for', async () => {
    const orders = await add();
    await damage(orders);
    await run(orders, await begin(orders, 'keep', 'forever'));
    expect(await orders.expectEqual()).toBe(ROWS);
    expect(await tablesOf(orders)).toBe(onlyThose(orders, '__r1_old'));
    const before = Date.now();
    const { kept } = await run(orders, await begin(orders, 'a week', '7d'));
    const { database } = path().settings.clickhouse;
    const [first, second] = [1, 2].map((number) => `${database}.${orders.name.table}__r${number}_old`) as [
      string,
      string,
    ];
    expect(kept).toEqual([
      { name: first, until: null },
      { name: second, until: expect.any(String) as string },
    ]);
    const days = (Date.parse(kept?.[1]?.until ?? '') - before) / 86_400_000;
    expect(days).toBeGreaterThan(7);
    expect(days).toBeLessThan(7.01);
    const until = '2030-01-01T00:00:00.000Z';
    expect(await orders.call(changeKept, { names: [first], until })).toEqual({
      kept: [{ name: first, until }, kept?.[1]],
    });
    // Somebody has found a use for it.
    await orders.sink(`rename table ${second} to ${database}.${orders.name.table}_mine`);
    for (const repeat of [1, 2])
      expect(await orders.call(changeKept, { names: [first, second] }), String(repeat)).toEqual({ kept: [] });
    expect(await tablesOf(orders)).toBe(onlyThose(orders, '_mine'));
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('leaves with its table: what is kept for a time is dropped, and what is kept for ever stays', async () => {
    const orders = await add();
    const { table } = orders.name;
    await run(orders, await begin(orders, 'ever', 'forever'));
    await run(orders, await begin(orders, 'a week', '7d'));
    const { database } = path().settings.clickhouse;
    expect(await orders.remove(true)).toMatchObject({
      dropped: expect.arrayContaining([`${database}.${table}__r2_old`]) as string[],
      kept: [{ name: `${database}.${table}__r1_old`, why: 'a resync has kept it' }],
    });
    expect(await tablesOf(orders)).toBe(`['${table}__r1_old']`);
  });

  it('that is cancelled drops what it filled; the live flow goes on, and the next one has a name of its own', async () => {
    const orders = await add();
    const { table } = orders.name;
    const stage = await begin(orders);
    await orders.slice(copyTable, stage, 10);
    await path().source.query(`update ${table} set v = 'z' where id = 1`);
    await orders.settle();
    await orders.call(cancelBackfill, { backfill: stage });
    await orders.call(cancelBackfill, { backfill: stage });
    await expect(orders.slice(copyTable, stage, 10)).rejects.toMatchObject({ kind: 'Fenced' });
    await path().source.query(`update ${table} set v = 'z' where id = 2`);
    expect(await orders.expectEqual()).toBe(ROWS);
    expect(await tablesOf(orders)).toBe(onlyThose(orders));
    const next = await begin(orders);
    expect(next).toBe('copy:resync-2');
    await run(orders, next);
    await expect(orders.call(cancelBackfill, { backfill: next })).rejects.toMatchObject({ kind: 'Misconfigured' });
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  for (const transport of ['kafka', 'direct'] as const) {
    it(`over ${transport} follows columns that are added meanwhile, and a change that needs a new copy`, async () => {
      const orders = await add({ transport });
      const { table } = orders.name;
      const stage = await begin(orders);
      await orders.slice(copyTable, stage, 10);
      await path().source.query(`alter table ${table} add w int default 3; update ${table} set w = 4 where id <= 5`);
      await orders.settle();
      await orders.slice(copyTable, stage, 10);
      await path().source.query(`alter table ${table} add x int generated always as (id * 2) stored`);
      await orders.settle();
      await run(orders, stage);
      await orders.settle();
      // The workflow holds it until the resync has ended.
      await orders.copy();
      expect(await orders.expectEqual()).toBe(ROWS);
      expect(await orders.sink(`select w, x from {current} where id = 1`)).toBe('4\t2');
    });

    it(`over ${transport} sets rows aside that ClickHouse refuses, and knows them afterwards as rows of the live table`, async () => {
      const table = freshName('bad');
      await path().source.query(`create table ${table} (id int primary key, day date)`);
      await path().source.query(`insert into ${table} select i, '2024-01-01' from generate_series(1, ${ROWS}) i`);
      const orders = await path().add(table, { transport });
      await orders.copy();
      await orders.expectEqual();
      // ClickHouse takes no date of this year in a Date32.
      await path().source.query(`update ${table} set day = '9999-12-31' where id in (1, 2)`);
      await orders.settle();
      const stage = await begin(orders);
      await path().source.query(
        `update ${table} set day = '9999-12-31' where id in (3, 4); delete from ${table} where id = 1`,
      );
      await orders.settle();
      await run(orders, stage);
      expect(await keptKeys(path(), table)).toEqual([2, 3, 4]);
      const { rows } = await path().ledger.query(
        `select distinct loader, target from pg2click.quarantine where state = 'open' and
          table_id = (select id from pg2click.replicated_table where table_name = $1)`,
        [table],
      );
      expect(rows).toEqual([{ loader: 'main', target: `${path().settings.clickhouse.database}.${table}` }]);
      await path().source.query(`update ${table} set day = '2024-03-03' where day = '9999-12-31'`);
      expect(await orders.expectEqual()).toBe(ROWS - 1);
      expect(await keptKeys(path(), table)).toEqual([]);
    });
  }

  it('of one loader leaves the others alone', async () => {
    const orders = await add();
    const other = `${orders.name.table}_eu`;
    await orders.call(addLoader, { loader: { name: 'eu', target: other } });
    while ((await orders.slice(copyTable, 'copy:eu', 2_000)).finished !== true);
    const { stage } = await orders.call(startBackfill, { resync: true, loader: 'eu', requestId: 'eu' });
    await path().source.query(`delete from ${orders.name.table} where id = 1`);
    await orders.settle();
    await orders.slice(loadSlice, 'load:eu', 2_000);
    await run(orders, stage);
    await path().source.query(`delete from ${orders.name.table} where id = 2`);
    await orders.settle();
    await orders.slice(loadSlice, 'load:eu', 2_000);
    expect(await orders.sink(`select count() from ${other}_current`)).toBe(String(ROWS - 2));
    expect(await orders.expectEqual()).toBe(ROWS - 2);
  });

  it('ends with its table: its shadow is dropped with the target', async () => {
    const orders = await add();
    await orders.slice(copyTable, await begin(orders), 10);
    await orders.remove(true);
    expect(await tablesOf(orders)).toBe('[]');
  });

  it('is refused while another runs, before the first load is done, and of tables without versions', async () => {
    const orders = await add();
    await begin(orders);
    await expect(begin(orders)).rejects.toMatchObject({ kind: 'Misconfigured' });
    const table = freshName('events');
    await path().source.query(`create table ${table} (id bigint generated always as identity primary key, v text)`);
    await path().source.query(`grant select on sequence ${table}_id_seq to public`);
    const events = await path().add(table, { capture: 'poll', engine: 'merge-tree' });
    await expect(begin(events)).rejects.toMatchObject({ kind: 'Misconfigured' });
    const fresh = freshName('fresh');
    await path().source.query(`create table ${fresh} (id int primary key, v text)`);
    await expect(begin(await path().add(fresh))).rejects.toMatchObject({ kind: 'Misconfigured' });
  });
});
