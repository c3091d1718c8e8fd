import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Failure } from '../../src/failure/failure.js';
import { failureOf } from '../support/failure-of.js';
import { createWhole, LOG, rowsOf } from '../support/logs.js';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

describe('the columns of a log', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath({ wal: true });
    // Holds the slot while other tables come and go: to make it PostgreSQL waits for all who write.
    await path.source.query('create table first (id int primary key)');
    await path.add('first', { capture: 'wal', transport: 'direct' });
  });
  afterAll(() => path.close());

  it('values of every kind of type are those of a copy', async () => {
    const [mood, level] = [freshName('mood'), freshName('level')];
    await path.source.query(
      `create type ${mood} as enum ('sad', 'glad'); create domain ${level} as int check (value > 0)`,
    );
    const columns = `id uuid primary key, a smallint, b bigint, c numeric, d numeric(20,5), e real, f double precision, g boolean,
      h timestamptz, i timestamp, j date, k time, l interval, m bytea, n jsonb, o text[], p inet, q ${mood}, r ${level}, s char(4), t varchar(9)`;
    const table = await createWhole(path, columns);
    const followed = await path.add(table, LOG);
    const copied = await createWhole(path, columns);
    await path.source
      .query(`insert into ${table} values (gen_random_uuid(), -3, 9e15, 1.10, -12.34567, 0.1, 1e-300, true,
      '2026-11-30 01:02:03.456789+02', '1999-12-31 23:59:59.5', '2026-01-01', '12:34:56.789', '1 mon 2 days 03:04:05.6', '\\x00ff0a5c',
      '{"a": "\\\\\\n"}', '{a,"b c",null}', '10.0.0.1/8', 'glad', 7, 'ab', 'tab	'); insert into ${table} (id) values (gen_random_uuid())`);
    await path.source.query(`insert into ${copied} select * from ${table}`);
    const names = 'id, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t';
    const other = await path.add(copied, { capture: 'wal', transport: 'direct' });
    await other.copy();
    await followed.settle();
    expect(await followed.sink(`select ${names} from {target} order by id`)).toBe(
      await other.sink(`select ${names} from {current} order by id`),
    );
    expect(await followed.sink('select count() from {target}')).toBe('2');
  });

  it('columns that come, go and are renamed are followed, and changes of before have the values of before', async () => {
    const table = await createWhole(path, 'id int primary key, a text, b text');
    const followed = await path.add(table, LOG);
    // All of them wait while the columns change.
    await path.source.query(`insert into ${table} values (1, 'a1', 'b1'); alter table ${table} add c int default 5`);
    await followed.settle();
    await path.source.query(`insert into ${table} values (2, 'a2', 'b2', 2); update ${table} set c = 6 where id = 1`);
    await path.source.query(`alter table ${table} rename a to name`);
    await path.source.query(`insert into ${table} values (3, 'a3', 'b3', 3)`);
    await followed.settle();
    await path.source.query(`insert into ${table} values (4, 'a4', 'b4', 4); alter table ${table} drop b`);
    await path.source.query(`insert into ${table} values (5, 'a5', 5); delete from ${table} where id = 1`);
    expect(await rowsOf(followed, '_op, id, a, b, c')).toEqual([
      'insert\t1\ta1\tb1\t\\N',
      'insert\t2\ta2\tb2\t2',
      'update\t1\ta1\tb1\t6',
      'insert\t3\ta3\tb3\t3',
      'insert\t4\ta4\tb4\t4',
      'insert\t5\ta5\t\\N\t5',
      'delete\t1\ta1\t\\N\t6',
    ]);
  });

  it('columns that are left out are not kept, whatever they are called', async () => {
    const table = await createWhole(path, 'id int primary key, secret text, v text');
    const followed = await path.add(table, { ...LOG, excluded: ['secret'] });
    await path.source.query(`insert into ${table} values (1, 'hidden', 'a'); alter table ${table} rename secret to hush;
      update ${table} set v = 'b', hush = 'more'`);
    expect(await rowsOf(followed, '_op, id, v')).toEqual(['insert\t1\ta', 'update\t1\tb']);
    expect(await followed.sink(`select count() from system.columns where table = '${table}' and name = 'secret'`)).toBe(
      '0',
    );
  });

  it('a type of the user may be dropped with its columns, and changes of before keep their values', async () => {
    const [mood, pair] = [freshName('mood'), freshName('pair')];
    await path.source.query(`create type ${mood} as enum ('fine', 'bad'); create type ${pair} as (a int, b text)`);
    const table = await createWhole(path, `id int primary key, m ${mood}, p ${pair}, ms ${mood}[], n ${mood}`);
    await path.source.query(`insert into ${table} values (1, 'fine', row(null, 'x "y"'), '{bad,NULL}', null)`);
    const followed = await path.add(table, LOG);
    await path.source.query(`insert into ${table} values (2, 'bad', row(null, null), '{}', 'fine')`);
    const before = [`snapshot\t1\tfine\t(,"x ""y""")\t{bad,NULL}\t\\N`, `insert\t2\tbad\t(,)\t{}\tfine`];
    expect(await rowsOf(followed, '_op, id, m, p, ms, n')).toEqual(before);
    await path.source.query(
      `alter table ${table} drop m, drop p, drop ms, drop n; drop type ${mood}, ${pair}; insert into ${table} values (3)`,
    );
    expect(await rowsOf(followed, '_op, id, m, p, ms, n')).toEqual([...before, `insert\t3${'\t\\N'.repeat(4)}`]);
  });

  it.each([
    [
      'a column that is dropped and made again',
      'alter table {t} drop a; alter table {t} add a text',
      /in the WAL they are the same/u,
    ],
    [
      'a type that makes PostgreSQL write the rows again',
      'alter table {t} alter a type int using 1',
      /changed from text/u,
    ],
    ['another replica identity', 'alter table {t} replica identity default', /replica identity/u],
  ])('%s parks it, and the way out keeps what it has', async (_, change, message) => {
    const table = await createWhole(path, 'id int primary key, a text');
    const followed = await path.add(table, LOG);
    await path.source.query(`insert into ${table} values (1, 'a')`);
    await followed.settle();
    await path.source.query(`${change.replaceAll('{t}', table)}; insert into ${table} values (2)`);
    const failure = (await failureOf(() => followed.direct())) as Failure;
    expect(failure.message).toMatch(message);
    expect(failure.remedy).toMatch(
      new RegExp(`pg2click remove \\S+, then pg2click add .*--target NAME .*--engine log: its log`, 'u'),
    );
    await path.source.query(`alter table ${table} replica identity full`);
    await followed.remove();
    const next = await path.add(table, { ...LOG, target: `${table}_next` });
    await next.settle();
    expect(await next.sink(`select count() from {target} where _op = 'snapshot'`)).toBe('2');
  });
});
