import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Failure } from '../../src/failure/failure.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

const DIRECT = { capture: 'wal', transport: 'direct' } as const;
const MANY = 150_000;
const STORM_MS = 8_000;
const LONG_SLICE_MS = 15_000;

describe.each([
  ['the ledger beside the table', false],
  ['the ledger in another database', true],
])('a table that is captured from the WAL, %s', (_, ledgerElsewhere) => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath({ wal: true, ledgerElsewhere });
  });
  afterAll(() => path.close());

  it('is copied, and followed through inserts, updates, deletes, changed keys and TRUNCATE', async () => {
    const table = freshName('wal');
    await path.source.query(`create table ${table} (id int primary key, v text);
      insert into ${table} select i, 'copied ' || i from generate_series(1, 500) i`);
    const followed = await path.add(table, DIRECT);
    expect((await followed.copy()).rows).toBe(500);
    await path.source.query(`insert into ${table} select i, 'new' from generate_series(501, 600) i;
      update ${table} set v = v || '+' where id % 3 = 0;
      delete from ${table} where id % 10 = 0;
      update ${table} set id = id + 10000 where id % 7 = 0`);
    expect(await followed.expectEqual()).toBe(540);
    await path.source.query(`truncate ${table}; insert into ${table} values (1, 'after')`);
    expect(await followed.expectEqual()).toBe(1);
    await followed.remove(true);
  });
});

describe('from the WAL', () => {
  let path: Path;
  const followers: Followed[] = [];
  beforeAll(async () => {
    path = await openPath({ wal: true });
    // Holds the slot while other tables come and go: to make it PostgreSQL waits for all who write.
    await path.source.query('create table first (id int primary key)');
    followers.push(await path.add('first', DIRECT));
  });
  afterAll(() => path.close());

  const add = async (columns: string, more = ''): Promise<{ table: string; followed: Followed }> => {
    const table = freshName('wal');
    await path.source.query(`create table ${table} (${columns})`);
    if (more !== '') await path.source.query(more.replaceAll('{table}', table));
    const followed = await path.add(table, DIRECT);
    followers.push(followed);
    await followed.copy();
    return { table, followed };
  };
  const slots = async (): Promise<string[]> => {
    const found = await path.source.query<{ name: string }>(
      `select slot_name::text as name from pg_replication_slots where database = current_database()`,
    );
    return found.rows.map(({ name }) => name);
  };

  it('a transaction that was open while its table was added arrives whole', async () => {
    const table = freshName('wal');
    await path.source.query(`create table ${table} (id int primary key)`);
    const writer = await path.session();
    await writer.query(`begin; insert into ${table} values (1)`);
    const followed = await path.add(table, DIRECT);
    followers.push(followed);
    // PostgreSQL publishes this one and not the one before.
    await writer.query(`insert into ${table} values (2)`);
    const copying = followed.copy();
    await sleep(300);
    await writer.query('commit');
    await copying;
    expect(await followed.expectEqual()).toBe(2);
  });

  it('nothing is lost between the copy and the stream while others write', async () => {
    const table = freshName('wal');
    await path.source.query(`create table ${table} (id int primary key, n int not null);
      insert into ${table} select i, 0 from generate_series(1, 20000) i`);
    let isWriting = true;
    const write = async (pg: Client, turn: number): Promise<void> => {
      for (let round = turn; isWriting; round += 3) {
        const at = (round * 37) % 19_000;
        await pg.query(`begin; update ${table} set n = n + 1 where id between ${at} and ${at + 20}`);
        await sleep(round % 40);
        await pg.query(
          `delete from ${table} where id = ${at + 50 + turn}; insert into ${table} values (${100_000 + round}, 1)`,
        );
        await pg.query('commit');
      }
    };
    const sessions = await Promise.all([path.session(), path.session(), path.session()]);
    const writing = Promise.all(sessions.map((pg, turn) => write(pg, turn)));
    const followed = await path.add(table, DIRECT);
    followers.push(followed);
    const copying = followed.copy();
    for (let slice = 0; slice < 4; slice++) await followed.direct();
    await copying;
    isWriting = false;
    await writing;
    expect(await followed.expectEqual()).toBeGreaterThan(19_000);
  });

  it('rows that several delete and insert again under the same keys are those of the commit that came last', async () => {
    const { table, followed } = await add(
      'id int primary key, a int, b int, c int, d int, n bigint',
      ['a', 'b', 'c', 'd'].map((column) => `create unique index on {table} (${column})`).join(';'),
    );
    const witness = freshName('witness');
    await path.source.query(`create publication ${witness} for table only ${table}`);
    await path.source.query(`select pg_create_logical_replication_slot('${witness}', 'pgoutput')`);
    const until = Date.now() + STORM_MS;
    let [inserted, deleted] = [0, 0];
    const insert = async (pg: Client): Promise<void> => {
      for (let n = 0; Date.now() < until; n++) {
        const key = n % 4;
        const done = await pg
          .query(`insert into ${table} values ($1::int, $1::int, $1::int, $1::int, $1::int, $2)`, [key, n])
          .catch(() => undefined);
        inserted += done?.rowCount ?? 0;
      }
    };
    const remove = async (pg: Client): Promise<void> => {
      for (let n = 0; Date.now() < until; n++) {
        const done = await pg.query(`delete from ${table} where id = $1`, [n % 4]);
        deleted += done.rowCount ?? 0;
      }
    };
    const sessions = await Promise.all(Array.from({ length: 6 }, () => path.session()));
    const storm = Promise.all(sessions.map((pg, index) => (index % 2 === 0 ? insert(pg) : remove(pg))));
    while (Date.now() < until) await followed.direct();
    await storm;
    const left = await followed.expectEqual();
    expect(inserted - deleted).toBe(left);
    // By the position of each change in the WAL some of them would be in another order than their commits. A key is one byte here, at
    // the same place in an insert and in a delete.
    const found = await path.source.query<{ inverted: number }>(`
      with change as (
        select n, lsn, substring(data from 14 for 1) as key
        from rows from (pg_logical_slot_get_binary_changes(
          '${witness}', null, null, 'proto_version', '1', 'publication_names', '${witness}')) with ordinality all_of (lsn, xid, data, n)
        where get_byte(data, 0) in (ascii('I'), ascii('D'))
      )
      select count(*)::int as inverted
      from (select lsn < lag(lsn) over (partition by key order by n) as is_inverted from change) pair where is_inverted`);
    await path.source.query(`select pg_drop_replication_slot('${witness}'); drop publication ${witness}`);
    expect(found.rows[0]?.inverted).toBeGreaterThan(0);
    expect(inserted).toBeGreaterThan(100);
  });

  it('keys of every form are found: of several columns, of text, under FULL, renamed, with values that are stored apart', async () => {
    const pair = await add('b text, a int, v text, big text, primary key (b, a)');
    const whole = await add('id int primary key, v text', 'alter table {table} replica identity full');
    const named = await add('v text, old int primary key');
    const apart = await add('k text primary key, v int', 'alter table {table} alter k set storage external');
    await path.source.query(
      `insert into ${pair.table} select 'tab' || chr(9) || chr(92) || i, i, 'v', repeat('big ' || i, 2000) from generate_series(1, 50) i`,
    );
    await path.source.query(`update ${pair.table} set v = 'w'; delete from ${pair.table} where a > 40;
      update ${pair.table} set a = a + 1000 where a < 5`);
    await path.source.query(`insert into ${whole.table} select i, 'v' from generate_series(1, 50) i`);
    await path.source.query(
      `delete from ${whole.table} where id < 10; update ${whole.table} set id = id + 100 where id > 40`,
    );
    await path.source.query(`insert into ${named.table} values ('a', 1), ('b', 2)`);
    await path.source.query(`alter table ${named.table} rename old to new; delete from ${named.table} where new = 1`);
    await path.source.query(`insert into ${apart.table} values (repeat('k', 2500), 1), ('short', 1)`);
    await path.source.query(`update ${apart.table} set v = 2; delete from ${apart.table} where k = 'short'`);
    expect(await pair.followed.expectEqual()).toBe(40);
    expect(await whole.followed.expectEqual()).toBe(41);
    expect(await named.followed.expectEqual()).toBe(1);
    expect(await apart.followed.expectEqual()).toBe(1);
  });

  it(`a transaction of ${MANY} rows, and one that is rolled back in part, arrive whole`, async () => {
    const { table, followed } = await add('id int primary key, v text');
    await path.source.query(`begin; insert into ${table} select i, 'many' from generate_series(1, ${MANY}) i;
      savepoint s; update ${table} set v = 'undone'; rollback to s;
      delete from ${table} where id % 2 = 0; commit`);
    // More keys than are held in memory: they are written while the transaction is read.
    await followed.direct(undefined, LONG_SLICE_MS);
    expect(await followed.expectEqual()).toBe(MANY / 2);
  });

  it('a prepared transaction arrives when it is committed, and not before', async () => {
    const { table, followed } = await add('id int primary key');
    const name = freshName('prepared');
    await path.source.query(`begin; insert into ${table} values (1); prepare transaction '${name}'`);
    await path.source.query(`insert into ${table} values (2)`);
    expect(await followed.expectEqual()).toBe(1);
    await path.source.query(`commit prepared '${name}'`);
    expect(await followed.expectEqual()).toBe(2);
  });

  it('a column that is added is followed', async () => {
    const { table, followed } = await add('id int primary key');
    await path.source.query(`insert into ${table} values (1)`);
    await path.source.query(`alter table ${table} add v text default 'given'; insert into ${table} values (2, 'own')`);
    expect(await followed.expectEqual()).toBe(2);
  });

  it('a key whose type no longer fits parks its table, and the others go on', async () => {
    const { table, followed } = await add('id int primary key');
    const other = await add('id int primary key');
    await path.source.query(`alter table ${table} alter id type bigint; insert into ${table} values (5000000000)`);
    await path.source.query(`insert into ${other.table} values (1)`);
    expect(await other.followed.expectEqual()).toBe(1);
    expect(await failureOf(() => followed.direct())).toMatchObject({ kind: 'SourceChanged' });
    await followed.remove(true);
  });

  it('the last table that is removed takes slot and publication along, and one before it does not', async () => {
    const { followed } = await add('id int primary key');
    const [slot] = await slots();
    await followed.remove(true);
    expect(await slots()).toEqual([slot]);
    for (const other of followers) await other.remove(true);
    expect(await slots()).toEqual([]);
    expect((await path.source.query(`select from pg_publication`)).rowCount).toBe(0);
  });
});

describe('from the WAL is refused, with the way out:', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());

  it.each([
    [
      'no identity',
      '(id int primary key)',
      'alter table {t} replica identity nothing',
      /NOTHING/u,
      /replica identity default; then add the table, or resume it/u,
    ],
    [
      'a key that is not in the identity',
      '(id int primary key, k int not null unique)',
      '',
      /does not hold its key/u,
      /using index "refused_\w+_k_key"/u,
    ],
    [
      'a generated key',
      '(a int, id int generated always as (a + 1) stored primary key)',
      '',
      /generated column/u,
      /outbox/u,
    ],
    [
      'a partition that PostgreSQL would not let anybody delete from',
      '(id int primary key) partition by range (id)',
      'create table {t}_1 partition of {t} default; alter table {t}_1 replica identity nothing',
      /identity of public\.refused_\w+_1/u,
      /replica identity full/u,
    ],
    [
      'a generated column under FULL, with which PostgreSQL would refuse UPDATE and DELETE',
      '(id int primary key, g int generated always as (id) stored)',
      'alter table {t} replica identity full',
      /generated column and the replica identity FULL/u,
      /replica identity default; then add the table/u,
    ],
    ['a role without REPLICATION', '(id int primary key)', '', /may not/u, /postgres-wal\.sql/u],
  ])('%s', async (what, columns, more, message, remedy) => {
    const table = freshName('refused');
    await path.source.query(`create table ${table} ${columns}; ${more.replaceAll('{t}', table)}`);
    const options = what.startsWith('a key that') ? { ...DIRECT, key: ['k'] } : DIRECT;
    const failure = (await path.add(table, options).catch((error: unknown) => error)) as Failure;
    expect(failure.message).toMatch(message);
    expect(failure.remedy).toMatch(remedy);
    const left = await path.source.query(
      `select from pg_replication_slots where database = current_database() union all select from pg_publication`,
    );
    expect(left.rowCount).toBe(0);
  });
});
