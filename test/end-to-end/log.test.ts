import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startBackfill } from '../../activities/change-backfills.js';
import { addLoader } from '../../activities/change-loaders.js';
import type { Failure } from '../../src/failure/failure.js';
import { auditOf, createAudited, disorderSql, logAuditSql } from '../../dev/compare/log-audit.js';
import { failureOf } from '../support/failure-of.js';
import { createWhole, LOG, rowsOf } from '../support/logs.js';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

/** More lines than are held in memory: a transaction is written in parts. */
const MANY = 60_000;
const LONG_SLICE_MS = 15_000;

describe.each([
  ['the ledger beside the table', false],
  ['the ledger in another database', true],
])('a log, %s', (_, ledgerElsewhere) => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath({ wal: true, ledgerElsewhere });
  });
  afterAll(() => path.close());

  it('has the rows of the beginning, and then each change once, in the order of the commits', async () => {
    const table = await createWhole(path, 'id int primary key, v text, n numeric(10,2) not null default 0');
    await path.source.query(`insert into ${table} values (1, 'first', 1.50), (2, null, 2)`);
    const followed = await path.add(table, LOG);
    await path.source.query(`begin; insert into ${table} values (3, e'tab\\tline\\n\\\\', 3);
      update ${table} set v = 'second' where id = 1; commit;
      update ${table} set id = 20 where id = 2; delete from ${table} where id = 1; truncate ${table};
      insert into ${table} values (1, 'after', -1)`);
    expect(await rowsOf(followed, '_op, id, v, n', "if(_op = 'snapshot', id, _seq)")).toEqual([
      'snapshot\t1\tfirst\t1.5',
      'snapshot\t2\t\\N\t2',
      'insert\t3\ttab\\tline\\n\\\\\t3',
      'update\t1\tsecond\t1.5',
      'delete\t2\t\\N\t2',
      'insert\t20\t\\N\t2',
      'delete\t1\tsecond\t1.5',
      'truncate\t0\t\\N\t0',
      'insert\t1\tafter\t-1',
    ]);
    await followed.remove(true);
  });
});

describe('of a log', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath({ wal: true });
    // Holds the slot while other tables come and go: to make it PostgreSQL waits for all who write.
    await path.source.query('create table first (id int primary key)');
    await path.add('first', { capture: 'wal', transport: 'direct' });
  });
  afterAll(() => path.close());

  it('each change says its transaction, the place of its commit in the WAL and the time', async () => {
    const table = await createWhole(path, 'id int primary key');
    const followed = await path.add(table, LOG);
    const begun = await path.source.query<{ lsn: string; time: string }>(
      `select (pg_current_wal_insert_lsn() - '0/0')::text as lsn, (extract(epoch from now()) * 1000)::text as time`,
    );
    await path.source.query(`begin; insert into ${table} values (1)`);
    const found = await path.source.query<{ xid: string }>('select pg_current_xact_id()::text as xid');
    await path.source.query('commit');
    const [row = ''] = await rowsOf(followed, '_xid, _lsn, toUnixTimestamp64Micro(_commit_time) / 1000');
    const [xid, lsn, time] = row.split('\t').map(Number);
    expect(xid).toBe(Number(found.rows[0]?.xid));
    expect(lsn).toBeGreaterThan(Number(begun.rows[0]?.lsn));
    expect((time ?? 0) - Number(begun.rows[0]?.time)).toBeGreaterThanOrEqual(0);
    expect((time ?? 0) - Number(begun.rows[0]?.time)).toBeLessThan(60_000);
  });

  it('the beginning is one moment of the table: with the changes after it, each row has every state that it had', async () => {
    const table = freshName('log');
    await path.source.query(`create table ${table} (id int primary key, n int not null);
      alter table ${table} replica identity full; insert into ${table} select i, 0 from generate_series(1, 2000) i`);
    let isWriting = true;
    const write = async (pg: Client, turn: number): Promise<void> => {
      for (let round = turn; isWriting; round += 3) {
        await pg.query(`begin; update ${table} set n = n + 1 where id = ${1 + ((round * 37) % 2000)}`);
        await sleep(round % 20);
        await pg.query(`update ${table} set n = n + 1 where id = ${1 + ((round * 41) % 2000)}`).catch(() => undefined);
        await pg.query('commit');
      }
    };
    const sessions = await Promise.all([path.session(), path.session(), path.session()]);
    const writing = Promise.all(sessions.map((pg, turn) => write(pg, turn)));
    const followed = await path.add(table, LOG);
    for (let slice = 0; slice < 4; slice++) await followed.direct();
    isWriting = false;
    await writing;
    await followed.settle();
    const states = await followed.sink(
      `select sum(states), sum(last), sum(is_whole) from (
        select id, count() as states, max(n) as last,
          arraySort(groupArray(n)) = range(min(n), max(n) + 1) and argMax(n, _seq) = max(n) and minIf(n, _op = 'snapshot') = min(n) as is_whole
        from {target} group by id)`,
    );
    const changes = await followed.sink(`select count() from {target} where _op = 'update'`);
    const now = await path.source.query<{ sum: string }>(`select sum(n)::text as sum from ${table}`);
    expect(states).toBe(`${2000 + Number(changes)}\t${now.rows[0]?.sum}\t2000`);
    expect(Number(changes)).toBeGreaterThan(100);
  });

  it('a transaction that was open while the table was added is in the log, or in its beginning, whole', async () => {
    const table = await createWhole(path, 'id int primary key');
    const writer = await path.session();
    await writer.query(`begin; insert into ${table} values (1)`);
    const adding = path.add(table, LOG);
    await sleep(300);
    await writer.query(`insert into ${table} values (2); commit`);
    const followed = await adding;
    await path.source.query(`insert into ${table} values (3)`);
    expect(await rowsOf(followed, '_op, id', 'id')).toEqual(['snapshot\t1', 'snapshot\t2', 'insert\t3']);
  });

  it(`each change comes once, in the order of its transaction, where the reader is cut off within transactions of ${MANY} rows, and batches are repeated`, async () => {
    const table = freshName('log');
    await createAudited(path.source, table);
    const followed = await path.add(table, LOG);
    const writer = await path.session();
    let cuts = 0;
    let isWriting = true;
    const cutting = (async () => {
      while (isWriting) {
        const cut = await path.source.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
             and application_name in ('pg2click wal', 'pg2click wal keys')
             and exists (select from pg2click.outbox_${followed.receipt.id} having count(*) > 0)`,
        );
        if ((cut.rowCount ?? 0) > 0) cuts += 1;
        await sleep(50 + 150 * (cuts % 4));
      }
    })();
    const { openSteps } = path.deps;
    let repeats = 0;
    let confirms = 0;
    const crashing: typeof openSteps = (...args) => {
      const steps = openSteps(...args);
      return {
        verify: () => steps.verify(),
        advance(moved, limit, part) {
          confirms += moved === null ? 0 : 1;
          if (moved === null || confirms % 4 !== 2) return steps.advance(moved, limit, part);
          repeats += 1;
          return Promise.reject(new Error('crash'));
        },
      };
    };
    const writing = (async () => {
      for (let round = 0; round < 4; round++)
        await writer.query(`begin;
          insert into ${table} select i, ${round}, repeat('t', 20) from generate_series(${round * MANY}, ${(round + 1) * MANY - 1}) i
            where i % 4 = 0;
          update ${table} set n = n + 1 where id % 8 = 0 and id >= ${round * MANY};
          update ${table} set id = -id where id % 100 = 4 and id > 0;
          delete from ${table} where id % 12 = 0 and id >= ${round * MANY}; commit`);
    })();
    // On a busy machine a slice may confirm nothing.
    for (let slice = 0; slice < 8 || (repeats === 0 && slice < 40); slice++)
      await followed.direct({ openSteps: crashing }, 1_500).catch(() => undefined);
    await writing;
    isWriting = false;
    await cutting;
    await followed.direct(undefined, LONG_SLICE_MS).catch(() => undefined);
    await followed.settle();
    const audit = await auditOf(path.source, table);
    expect((await followed.sink(logAuditSql('{target}'))).split('\n')).toEqual(audit);
    expect(await followed.sink(disorderSql('{target}'))).toBe('0');
    const now = await path.source.query<{ line: string }>(
      `select count(*) || E'\\t' || sum(n * id) as line from ${table}`,
    );
    expect(
      await followed.sink(`select count(), sum(n * id) from (
        select * from {target}
        where _commit_time <= now64(6) and _seq > (
          select if(count() = 0, -9223372036854775808, max(_seq)) from {target} where _op = 'truncate' and _commit_time <= now64(6))
        qualify row_number() over (partition by id order by _seq desc) = 1 and _op != 'delete')`),
    ).toBe(now.rows[0]?.line);
    console.log(
      JSON.stringify({ logCuts: { cuts, repeats, changes: await followed.sink('select count() from {target}') } }),
    );
    expect(cuts).toBeGreaterThan(3);
    expect(repeats).toBeGreaterThan(0);
  });

  it('a value that is stored apart and was not touched is in every row', async () => {
    const table = await createWhole(path, 'id int primary key, v int, big text');
    await path.source.query(`alter table ${table} alter big set storage external`);
    const followed = await path.add(table, LOG);
    await path.source.query(`insert into ${table} values (1, 1, repeat('b', 5000)); update ${table} set v = 2;
      update ${table} set id = 2; delete from ${table}`);
    expect(await rowsOf(followed, '_op, id, v, length(big)')).toEqual([
      'insert\t1\t1\t5000',
      'update\t1\t2\t5000',
      'delete\t1\t2\t5000',
      'insert\t2\t2\t5000',
      'delete\t2\t2\t5000',
    ]);
  });

  it('a change that ClickHouse refuses is set aside, and others of its key go on', async () => {
    const table = await createWhole(path, 'id int primary key, at date');
    const followed = await path.add(table, LOG);
    await path.source.query(`insert into ${table} values (1, '2026-01-01'); update ${table} set at = '4000-01-01';
      update ${table} set at = '2026-01-02'; insert into ${table} select i, '2026-01-03' from generate_series(2, 20) i`);
    expect((await rowsOf(followed, '_op, id, at')).slice(0, 3)).toEqual([
      'insert\t1\t2026-01-01',
      'update\t1\t2026-01-02',
      'insert\t2\t2026-01-03',
    ]);
    expect(await followed.sink('select count() from {target}')).toBe('21');
  });

  it('a ClickHouse table that was emptied is noticed, and what it has left stays', async () => {
    const table = await createWhole(path, 'id int primary key');
    await path.source.query(`insert into ${table} values (1)`);
    const followed = await path.add(table, LOG);
    await followed.settle();
    await followed.sink('truncate table {target}');
    const failure = (await failureOf(() => followed.direct())) as Failure;
    expect(failure).toMatchObject({ kind: 'SinkSetBack' });
    expect(failure.remedy).toMatch(/then pg2click add .*--target NAME .*--engine log: its log goes on there/u);
    expect(failure.remedy).not.toContain('truncate');
  });

  it('one that holds rows is refused, and they stay', async () => {
    const table = await createWhole(path, 'id int primary key');
    const target = freshName('history');
    const before = await path.add(table, { ...LOG, target });
    await path.source.query(`insert into ${table} values (1)`);
    await before.settle();
    await before.remove();
    const failure = (await path.add(table, { ...LOG, target }).catch((error: unknown) => error)) as Failure;
    expect(failure).toMatchObject({
      kind: 'TargetTaken',
      message: expect.stringContaining('a log begins in an') as string,
    });
    expect(failure.remedy).toMatch(/add .*--target NAME/u);
    expect(failure.remedy).not.toContain('truncate');
  });

  it('has one loader, and a table of another engine does not become one', async () => {
    const table = await createWhole(path, 'id int primary key');
    const followed = await path.add(table, LOG);
    await expect(followed.call(addLoader, { loader: { name: 'second' } })).rejects.toMatchObject({
      message: expect.stringContaining('A log has one loader') as string,
    });
    const other = await path.add(await createWhole(path, 'id int primary key'), {
      capture: 'wal',
      transport: 'direct',
    });
    await expect(other.configure({ engine: 'log' })).resolves.toMatchObject({
      refused: expect.stringContaining('A log begins when its table is added') as string,
    });
  });

  it.each([
    ['a row filter', 'id int primary key', { where: 'id > 1' }, /row filter/u, undefined],
    ['a topic', 'id int primary key', { transport: 'kafka' }, /keeps both.*--transport direct/u, undefined],
    ['a column with a name of its own', 'id int primary key, _op int', {}, /reserved/u, /--rename-column _op=/u],
    [
      'a generated column',
      'id int primary key, g int generated always as (id) stored',
      {},
      /generated column and the replica identity FULL/u,
      /Drop the generated columns .*without --engine log/u,
    ],
  ] as const)('%s is refused', async (_, columns, options, message, remedy) => {
    const table = await createWhole(path, columns);
    const failure = (await path.add(table, { ...LOG, ...options }).catch((error: unknown) => error)) as Failure;
    expect(failure.message).toMatch(message);
    if (remedy !== undefined) expect(failure.remedy).toMatch(remedy);
  });

  it('a table without whole old rows is refused with the statement, and a backfill says that there is nothing to read again', async () => {
    const table = freshName('log');
    await path.source.query(`create table ${table} (id int primary key)`);
    const failure = (await path.add(table, LOG).catch((error: unknown) => error)) as Failure;
    expect(failure.remedy).toContain(`alter table "public"."${table}" replica identity full`);
    await path.source.query(`alter table ${table} replica identity full`);
    const followed = await path.add(table, LOG);
    await expect(followed.call(startBackfill, { requestId: 'again' })).rejects.toMatchObject({
      message: expect.stringContaining('is a log'),
    });
  });
});
