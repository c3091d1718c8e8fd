import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cancelBackfill, startBackfill } from '../../activities/change-backfills.js';
import { copyTable } from '../../activities/copy-table.js';
import type { BackfillTerms } from '../../src/domain/backfill.js';
import type { CopyReceipt } from '../../src/domain/receipt.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

/** Four chunks of 1 MB. */
const ROWS = 10_000;

describe('a backfill', () => {
  let path: Path;
  let pg: pg.Client;
  beforeAll(async () => {
    path = await openPath({ env: { PG2CLICK_COPY_CHUNK_MB: '1', PG2CLICK_COPY_READERS: '1' } });
    pg = path.source;
  });
  afterAll(() => path.close());

  const add = async (options: TableOptions = {}, definition = 'id int primary key, v text'): Promise<Followed> => {
    const table = freshName('orders');
    await pg.query(`create table ${table} (${definition})`);
    await pg.query(`insert into ${table} (id, v) select i, repeat('x', 300) from generate_series(1, ${ROWS}) i`);
    const orders = await path.add(table, options);
    await orders.copy();
    await orders.expectEqual();
    return orders;
  };
  let requests = 0;
  const begin = async (orders: Followed, terms: BackfillTerms, requestId = `r${(requests += 1)}`): Promise<string> =>
    (await orders.call(startBackfill, { ...terms, requestId })).stage;
  const run = async (orders: Followed, stage: string): Promise<CopyReceipt> => {
    for (;;) {
      const receipt = await orders.slice(copyTable, stage, 200);
      if (receipt.finished === true) return receipt;
      await orders.settle();
    }
  };
  const backfill = async (orders: Followed, terms: BackfillTerms): Promise<CopyReceipt> =>
    run(orders, await begin(orders, terms));
  /** Rows that are gone, changed, twice, and there without reason, in both halves of the keys. */
  const damage = async (orders: Followed): Promise<void> => {
    const half = ROWS / 2;
    await orders.sink(`alter table {target} delete where id % 100 = 7 settings mutations_sync = 1`);
    await orders.sink(`alter table {target} update v = 'wrong' where id % 100 = 8 settings mutations_sync = 1`);
    await orders.sink(`insert into {target} select * from {target} where id % 100 = 9`);
    await orders.sink(
      `insert into {target} (id, v, _version) select number * ${half} - 5, 'not in PostgreSQL', (select min(_version) from {target}) from numbers(3)`,
    );
  };
  const wrongRows = async (orders: Followed, where: string): Promise<string> =>
    orders.sink(`select count() from {current} where (${where}) and v <> repeat('x', 300)`);

  for (const transport of ['kafka', 'direct'] as const)
    describe(`of a table over ${transport}`, () => {
      it('of all rows, pruned, heals the table whatever was done to it, while it is written', async () => {
        const orders = await add({ transport });
        const { table } = orders.name;
        await damage(orders);
        expect(await wrongRows(orders, 'true')).not.toBe('0');
        const stage = await begin(orders, { prune: true });
        expect((await orders.slice(copyTable, stage, 10)).finished).toBe(false);
        await pg.query(`update ${table} set v = v || 'y' where id = 8; delete from ${table} where id in (7, 4000);
          insert into ${table} values (${ROWS + 1}, 'new'); update ${table} set id = -1 where id = 9`);
        await orders.settle();
        const receipt = await run(orders, stage);
        expect(receipt.pruned).toBeGreaterThanOrEqual(1);
        expect(await orders.expectEqual()).toBe(ROWS - 1);
      });
    });

  it('that prunes never hides a row that an UPDATE moved between two chunks', async () => {
    const orders = await add();
    const { table } = orders.name;
    await pg.query(`delete from ${table} where id <= 200`);
    await pg.query(`vacuum ${table}`);
    await orders.settle();
    const stage = await begin(orders, { prune: true });
    expect((await orders.slice(copyTable, stage, 10)).progress?.chunksDone).toBe(1);
    // From full blocks into the room in the first ones.
    const other = await path.session();
    await other.query(`update ${table} set v = repeat(md5(id::text), 50) where id between 6000 and 6020`);
    const moved = await pg.query(`select from ${table} where ctid < '(20,0)' and id between 6000 and 6020`);
    expect(moved.rowCount).toBeGreaterThan(0);
    for (let slice = 1; slice <= 10; slice += 1) {
      const { finished } = await orders.slice(copyTable, stage, 200);
      expect(await orders.sink(`select count() from {current}`)).toBe(String(ROWS - 200));
      expect(finished).toBe(false);
    }
    await run(orders, stage);
    expect(await orders.expectEqual()).toBe(ROWS - 200);
  });

  it('of a range heals that range and no other', async () => {
    const orders = await add();
    await damage(orders);
    const outside = await wrongRows(orders, `id >= ${ROWS / 2}`);
    const receipt = await backfill(orders, { to: String(ROWS / 2), prune: true });
    expect(receipt.rows).toBe(ROWS / 2 - 1);
    expect(await wrongRows(orders, `id < ${ROWS / 2}`)).toBe('0');
    expect(await orders.sink(`select count() from {current} where id < ${ROWS / 2}`)).toBe(String(ROWS / 2 - 1));
    expect(await wrongRows(orders, `id >= ${ROWS / 2}`)).toBe(outside);
    await backfill(orders, { from: String(ROWS / 2), prune: true });
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('of a condition reads those rows', async () => {
    const orders = await add();
    await damage(orders);
    const { rows } = await backfill(orders, { where: 'id % 100 in (7, 8) -- the lost and the wrong ones' });
    expect(rows).toBe(ROWS / 50);
    expect(await orders.sink('select count() from {current} where id > 0')).toBe(String(ROWS));
  });

  it('of a condition that fails for a row ends with that, and with the command that leads out', async () => {
    const orders = await add();
    const stage = await begin(orders, { where: '1 / (id - 4711) > 0' });
    await expect(run(orders, stage)).rejects.toMatchObject({
      kind: 'Misconfigured',
      message: 'The condition of --where fails for a row (SQLSTATE 22012).',
      remedy: expect.stringContaining('--cancel') as string,
    });
    await orders.call(cancelBackfill, { backfill: stage });
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('of a key of several columns takes lists', async () => {
    const orders = await add(
      {},
      `id int, region text collate "C" not null default 'eu', v text, primary key (region, id)`,
    );
    await orders.sink(`alter table {target} update v = 'wrong' where true settings mutations_sync = 1`);
    const { rows } = await backfill(orders, { from: '["eu", 11]', to: '["eu", 21]' });
    expect(rows).toBe(10);
    expect(
      await orders.sink(`select groupArray(id) from (select id from {current} where v <> 'wrong' order by id)`),
    ).toBe('[11,12,13,14,15,16,17,18,19,20]');
  });

  it('that is asked for twice under one id is done once, and goes on after a crash', async () => {
    const orders = await add();
    await damage(orders);
    const stage = await begin(orders, { prune: true }, 'twice');
    const half = await orders.slice(copyTable, stage, 10);
    expect(half.finished).toBe(false);
    expect(await begin(orders, { prune: true }, 'twice')).toBe(stage);
    const whole = await run(orders, stage);
    expect(whole.rows).toBe(ROWS);
    expect(await begin(orders, { prune: true }, 'twice')).toBe(stage);
    expect(await run(orders, stage)).toMatchObject({ rows: ROWS, bytes: 0 });
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('that is cancelled fences who works on it, and the next one has a name of its own', async () => {
    const orders = await add();
    const stage = await begin(orders, {});
    await orders.slice(copyTable, stage, 10);
    await orders.call(cancelBackfill, { backfill: stage });
    await expect(orders.slice(copyTable, stage, 10)).rejects.toMatchObject({ kind: 'Fenced' });
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it.each([
    [{ from: 'seven' }, 'Misconfigured'],
    [{ from: '["eu", 1]' }, 'Misconfigured'],
    [{ where: 'id = ' }, 'Misconfigured'],
    [{ where: 'nothing = 1' }, 'Misconfigured'],
    [{ where: 'true) ; drop table orders; --' }, 'Misconfigured'],
    [{ loader: 'none' }, 'Misconfigured'],
  ])('%j is refused', async (terms, kind) => {
    const orders = await add();
    await expect(begin(orders, terms)).rejects.toMatchObject({ kind });
  });

  it('of a plain MergeTree is refused: its rows would be there twice', async () => {
    const table = freshName('events');
    await pg.query(`create table ${table} (id bigint generated always as identity primary key, v text)`);
    await pg.query(`grant select on sequence ${table}_id_seq to public`);
    const events = await path.add(table, { capture: 'poll', engine: 'merge-tree' });
    await expect(begin(events, {})).rejects.toMatchObject({ kind: 'Misconfigured' });
  });
});
