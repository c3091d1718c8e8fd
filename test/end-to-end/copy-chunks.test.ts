import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyTable } from '../../activities/copy-table.js';
import { reopenChunks } from '../../src/ledger/chunks.js';
import { claimStage } from '../../src/ledger/stages.js';
import { listTables } from '../../src/ledger/tables.js';
import type { Deps } from '../../activities/deps.js';
import type { CopyReceipt, SliceRequest } from '../../src/domain/receipt.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { keptKeys } from '../support/quarantine.js';
import { freshName, waitFor } from '../support/stack.js';

/** Some 3,000 rows are a chunk of 1 MB. */
const ROWS = 40_000;
const DEADLINE = { deadlineMs: 60_000 };

describe('a copy in chunks', () => {
  let path: Path;
  let pg: pg.Client;
  beforeAll(async () => {
    path = await openPath({ env: { PG2CLICK_COPY_CHUNK_MB: '1', PG2CLICK_COPY_READERS: '3' } });
    pg = path.source;
  });
  afterAll(() => path.close());

  const fill = async (definition = 'id int primary key, v text, n int'): Promise<Followed> => {
    const table = freshName('orders');
    await pg.query(`create table ${table} (${definition})`);
    await pg.query(`insert into ${table} select i, repeat('x', 300), 0 from generate_series(1, ${ROWS}) i`);
    return path.add(table);
  };
  /** A slice that is over at once: each reader has moved a chunk, or none if others were quicker. */
  const someChunks = (table: Followed): Promise<CopyReceipt> => table.slice(copyTable, 'copy', 10);
  const chunksOf = async (table: Followed): Promise<{ chunk: number; done: boolean; relation: string }[]> => {
    const { rows } = await path.ledger.query<{ chunk: number; done: boolean; relation: string }>(
      `select chunk, done_at is not null as done, (range ->> 'relation')::oid::regclass::text as relation
        from pg2click.chunk c join pg2click.replicated_table t on t.id = c.table_id where t.table_name = $1 order by chunk`,
      [table.name.table],
    );
    return rows;
  };

  it('is equal whatever is written meanwhile, and reads each chunk once', async () => {
    const orders = await fill();
    const { table } = orders.name;
    const writer = await path.session();
    let isOver = false;
    let statements = 0;
    const write = async (): Promise<void> => {
      for (let n = 0; !isOver; n += 1) {
        await writer.query(`insert into ${table} values (${ROWS + 1 + n}, 'new', 1)`);
        await writer.query(`update ${table} set n = n + 1, v = 'longer ' || v where id % 100 = ${n % 100}`);
        await writer.query(`update ${table} set id = -id where id % 1000 = ${n % 1000}`);
        await writer.query(`delete from ${table} where id % 500 = ${(n + 7) % 500}`);
        statements += 4;
      }
    };
    const writing = write();
    const receipts: CopyReceipt[] = [];
    do receipts.push(await someChunks(orders));
    while (receipts.at(-1)?.finished !== true);
    isOver = true;
    await writing;
    expect(statements).toBeGreaterThan(8);
    expect(receipts.length).toBeGreaterThan(3);
    const done = receipts.map(({ progress }) => progress?.chunksDone ?? 0);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(receipts.at(-1)).toMatchObject({ progress: { chunks: done.at(-1), chunksDone: done.at(-1) } });
    expect(await chunksOf(orders)).toEqual([]);
    await orders.expectEqual();
  });

  it('goes on where it was when a connection is cut, and the worker with it', async () => {
    const orders = await fill();
    const first = await someChunks(orders);
    const before = (await chunksOf(orders)).filter(({ done }) => done).map(({ chunk }) => chunk);
    expect(before).toHaveLength(first.progress?.chunksDone ?? 0);
    expect(before.length).toBeGreaterThan(0);
    let cuts = 0;
    const cutting = setInterval(() => {
      void pg
        .query(
          `select pg_terminate_backend(pid) from pg_stat_activity
          where application_name like 'pg2click copy%' and datname = current_database()`,
        )
        .then(({ rowCount }) => (cuts += rowCount ?? 0));
    }, 40);
    try {
      await someChunks(orders).catch(() => undefined);
    } finally {
      clearInterval(cutting);
    }
    expect(cuts).toBeGreaterThan(0);
    const { rows } = await orders.copy();
    expect(rows).toBe(ROWS);
    expect(await orders.sink('select count() from {target}')).toBe(String(ROWS));
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('of two attempts the older one is fenced, and the copy is done once', async () => {
    const orders = await fill();
    const results = await Promise.allSettled([1, 2, 3].map(() => orders.slice(copyTable, 'copy', 2_000)));
    const kinds = results.flatMap((each) =>
      each.status === 'rejected' ? [(each.reason as { kind: string }).kind] : [],
    );
    expect(new Set(kinds)).toEqual(new Set(['Fenced']));
    expect(await orders.copy()).toMatchObject({ rows: ROWS, finished: true });
    const stage = await path.ledger.query(
      `select s.batch::int from pg2click.stage s join pg2click.replicated_table t on t.id = s.table_id
        where t.table_name = $1 and s.stage = 'copy'`,
      [orders.name.table],
    );
    expect(stage.rows).toEqual([{ batch: 1 }]);
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('notices that VACUUM FULL has moved all rows, and plans again', async () => {
    const orders = await fill();
    const { table } = orders.name;
    await pg.query(`delete from ${table} where id <= ${ROWS / 2}`);
    expect((await someChunks(orders)).finished).toBe(false);
    const before = await chunksOf(orders);
    await pg.query(`vacuum full ${table}`);
    const moved = await someChunks(orders);
    expect(moved.finished).toBe(false);
    const after = await chunksOf(orders);
    const planned = after.filter(({ chunk }) => chunk > (before.at(-1)?.chunk ?? 0));
    expect(planned.length).toBeGreaterThan(0);
    expect(after.some(({ done }) => done)).toBe(false);
    expect((await orders.copy()).rows).toBe(ROWS / 2);
    expect(await orders.expectEqual()).toBe(ROWS / 2);
  });

  it('of a table that is emptied meanwhile ends, and is empty', async () => {
    const orders = await fill();
    expect((await someChunks(orders)).finished).toBe(false);
    await pg.query(`truncate ${orders.name.table}; insert into ${orders.name.table} values (1, 'after', 1)`);
    await orders.copy();
    expect(await orders.expectEqual()).toBe(1);
  });

  it('reads each partition by itself, and one that is dropped meanwhile not at all', async () => {
    const orders = await (async () => {
      const table = freshName('orders');
      await pg.query(`create table ${table} (id int, v text, n int, primary key (id)) partition by range (id)`);
      for (const part of [0, 1, 2, 3])
        await pg.query(
          `create table ${table}_${part} partition of ${table} for values from (${part * 10_000}) to (${(part + 1) * 10_000})`,
        );
      await pg.query(`insert into ${table} select i, repeat('x', 300), 0 from generate_series(0, ${ROWS - 1}) i`);
      return path.add(table);
    })();
    const { table } = orders.name;
    const partial = await someChunks(orders);
    expect(partial.finished).toBe(false);
    const chunks = await chunksOf(orders);
    expect(new Set(chunks.map(({ relation }) => relation))).toEqual(
      new Set([0, 1, 2, 3].map((part) => `${table}_${part}`)),
    );
    await pg.query(`drop table ${table}_3`);
    await waitFor(async () => (await someChunks(orders)).finished === true, { ...DEADLINE, what: 'the copy to end' });
    await orders.settle();
    await orders.copy();
    expect(await orders.expectEqual()).toBe(ROWS - 10_000);
  });

  it('that an older release had begun is planned under the position it had', async () => {
    const orders = await fill();
    await someChunks(orders);
    const position = `select s.pending ->> 'position' as position from pg2click.stage s
      join pg2click.replicated_table t on t.id = s.table_id where t.table_name = $1 and s.stage = 'copy'`;
    const before = (await path.ledger.query<{ position: string }>(position, [orders.name.table])).rows[0]?.position;
    await path.ledger.query(
      `delete from pg2click.chunk c using pg2click.replicated_table t where t.id = c.table_id and t.table_name = $1`,
      [orders.name.table],
    );
    expect(await orders.copy()).toMatchObject({ rows: ROWS, position: before });
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('reads chunks again that ClickHouse may have lost when it was started again', async () => {
    const orders = await fill();
    await someChunks(orders);
    const table = (await listTables(path.ledger, path.settings.pipeline)).find(
      ({ name }) => name.table === orders.name.table,
    );
    const claim = await claimStage(path.ledger, { tableId: table?.id ?? '', stage: 'copy', owner: 'test' });
    const own = { tableId: table?.id ?? '', stage: 'copy', epoch: claim.epoch };
    const done = (await chunksOf(orders)).filter((each) => each.done).length;
    expect(done).toBeGreaterThan(0);
    // It runs for an hour: it has not lost them.
    expect(await reopenChunks(path.ledger, own, 3_600)).toBe(0);
    await path.ledger.query(`update pg2click.chunk set done_at = done_at - interval '1 hour' where chunk = 1`);
    expect(await reopenChunks(path.ledger, own, 0)).toBe(done - 1);
    await expect(reopenChunks(path.ledger, { ...own, epoch: '0' }, 0)).rejects.toMatchObject({ kind: 'Fenced' });
    expect((await orders.copy()).rows).toBe(ROWS);
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('reads chunks again that ClickHouse had answered before it was started again, and that were confirmed long after', async () => {
    const orders = await fill();
    await someChunks(orders);
    const before = (await chunksOf(orders)).filter(({ done }) => done).map(({ chunk }) => chunk);
    const begun = Date.now();
    const late: Pick<Deps, 'sink'> = {
      sink: (loader) => {
        const { clickhouse, ...rest } = path.deps.sink(loader);
        const exec: typeof clickhouse.exec = async (params) => {
          const answer = await clickhouse.exec(params);
          await sleep(6_000);
          return answer;
        };
        return { ...rest, clickhouse: Object.assign(Object.create(clickhouse) as typeof clickhouse, { exec }) };
      },
    };
    const request = { stage: 'copy', checkpoint: null, sliceMs: 10 };
    await orders.call((own, slice: SliceRequest) => copyTable({ ...own, ...late }, slice), request);
    const done = (await chunksOf(orders)).filter((each) => each.done && !before.includes(each.chunk));
    expect(done.length).toBeGreaterThan(0);
    const { id: tableId } = orders.receipt;
    const { epoch } = await claimStage(path.ledger, { tableId, stage: 'copy', owner: 'test' });
    const uptime = (Date.now() - begun) / 1_000 - 3;
    await reopenChunks(path.ledger, { tableId, stage: 'copy', epoch }, uptime);
    const left = (await chunksOf(orders)).filter((each) => !each.done).map(({ chunk }) => chunk);
    expect(left).toEqual(expect.arrayContaining(done.map(({ chunk }) => chunk)));
    await orders.copy();
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('that begins again because values were changed reads all chunks again', async () => {
    await pg.query(`create type mood as enum ('sad', 'ok')`);
    const orders = await fill(`id int primary key, v text, n int, m mood default 'sad'`);
    expect((await someChunks(orders)).finished).toBe(false);
    expect((await chunksOf(orders)).some(({ done }) => done)).toBe(true);
    await pg.query(`alter type mood rename value 'sad' to 'blue'`);
    await orders.settle();
    expect(await orders.copy()).toMatchObject({ rows: ROWS });
    expect(await orders.sink(`select count() from {current} where m = 'blue'`)).toBe(String(ROWS));
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('sets rows aside in every chunk, and goes on', async () => {
    const table = freshName('orders');
    await pg.query(`create table ${table} (id int primary key, v text, day date)`);
    await pg.query(`insert into ${table} select i, repeat('x', 300), case when i % 10000 = 1 then '9999-12-31' else '2024-01-01' end::date
      from generate_series(1, ${ROWS}) i`);
    const orders = await path.add(table);
    const { rows, progress } = await orders.copy();
    expect(progress?.chunks).toBeGreaterThan(4);
    expect(rows).toBe(ROWS - 4);
    expect(await keptKeys(path, table)).toEqual([1, 10_001, 20_001, 30_001]);
    await pg.query(`update ${table} set day = '2024-02-02' where day > '3000-01-01'`);
    expect(await orders.expectEqual()).toBe(ROWS);
  });

  it('takes rows that are larger than a chunk', async () => {
    const table = freshName('orders');
    await pg.query(`create table ${table} (id int primary key, v text)`);
    await pg.query(`alter table ${table} alter v set storage external`);
    await pg.query(`insert into ${table} select i, repeat('x', 20000000) from generate_series(1, 3) i`);
    const orders = await path.add(table);
    const { rows, progress } = await orders.copy();
    expect(rows).toBe(3);
    expect(progress).toMatchObject({ chunks: 1 });
    expect(await orders.sink('select sum(length(v)) from {target}')).toBe('60000000');
  });
});
