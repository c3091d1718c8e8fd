import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPath, type Path } from '../support/path.js';
import { freshName } from '../support/stack.js';

const TEXTS = ['', ' ', 'a "b"', "it's", 'tab\there', 'line\nfeed', 'back\\slash', '\u0001', '😀é', '{"a":1}'];

/** Messages with keys alone: what was changed, deleted, moved to another key or truncated is read when it is loaded. */
describe('a table with --payload key', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath();
    await path.source.query(`
      create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      create type "Odd Mood" as enum ('so so', 'it''s', '\\"x"')`);
  });
  afterAll(() => path.close());

  it('ends as the source is, through updates, deletes, inserts again, other keys and TRUNCATE', async () => {
    const table = freshName('keyed');
    await path.source.query(`create table ${table} (id int primary key, v text, n numeric(20,4));
      insert into ${table} select i, 'copied', i / 7.0 from generate_series(1, 50) i`);
    const keyed = await path.add(table, { payload: 'key' });
    await keyed.copy();
    expect(await keyed.expectEqual()).toBe(50);

    await path.source.query(`update ${table} set v = 'tab	, back\\slash, "quote", €' where id % 2 = 0;
      delete from ${table} where id % 5 = 0; insert into ${table} values (5, 'again', null);
      update ${table} set id = id + 1000 where id between 30 and 40;
      insert into ${table} select i, repeat('x', i), i from generate_series(2000, 2100) i`);
    await keyed.publish();
    // Between message and reading: what is sent under the older versions is newer than they are.
    await path.source.query(`delete from ${table} where id between 2000 and 2010;
      insert into ${table} values (2005, 'back', 1); update ${table} set v = 'newest' where id = 2020`);
    await keyed.load();
    expect(await keyed.expectEqual()).toBe(132);

    await path.source.query(`update ${table} set v = 'before truncate'`);
    await keyed.publish();
    await path.source.query(`truncate ${table}; insert into ${table} values (1, 'after', 1), (2, 'after', 2)`);
    await keyed.load();
    expect(await keyed.expectEqual()).toBe(2);
    await path.source.query(`truncate ${table}`);
    expect(await keyed.expectEqual()).toBe(0);
  }, 180_000);

  it.each([
    ['bigint', ['-9223372036854775808', '-1', '9223372036854775807', '9007199254740993']],
    ['integer', ['-2147483648', '0', '7']],
    ['smallint', ['-32768', '32767', '0']],
    ['boolean', ['true', 'false']],
    ['numeric(20,4)', ['0.1', '-9999999999999999.9999', '12.5000', '0']],
    ['numeric(76,38)', ['0.00000000000000000000000000000000000001', '-1', '99999999999999999999999999999999999999']],
    ['text', TEXTS],
    ['varchar(9)', TEXTS],
    ['date', ['1900-01-01', '2299-12-31', '2024-02-29']],
    ['timestamp', ['1900-01-01 00:00:00.000001', '2299-12-31 23:59:59.999999', '2024-02-29 12:00:00']],
    ['timestamptz', ['1900-01-01 00:00:00.000001+00', '2024-07-01 12:00:00.5+02', '2024-03-31 02:30:00+01']],
    ['uuid', ['00000000-0000-0000-0000-000000000000', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11']],
    ['"Odd Mood"', ['so so', "it's", '\\"x"']],
  ])('finds rows by a key of type %s', async (type, values) => {
    const table = freshName('typed');
    const list = values.map((value) => `('${value.replaceAll("'", "''")}')`).join(', ');
    await path.source.query(`create table ${table} ("The ""Key" ${type} primary key, v int not null, w text);
      insert into ${table} select k::${type}, 1 from (values ${list}) given (k)`);
    const keyed = await path.add(table, { payload: 'key' });
    await keyed.copy();
    await path.source.query(`update ${table} set v = 2, w = 'found';
      delete from ${table} where "The ""Key" = (select max("The ""Key"::text)::${type} from ${table})`);
    expect(await keyed.expectEqual()).toBe(values.length - 1);
    expect(await keyed.sink('select uniqExact(v), min(w) from {current}')).toBe('1\tfound');
  });

  it('tells keys apart that are equal for the collation and not for ClickHouse', async () => {
    const table = freshName('cased');
    await path.source.query(`create table ${table} (k text collate ci primary key, v int);
      insert into ${table} values ('a', 1), ('É', 1)`);
    const keyed = await path.add(table, { payload: 'key' });
    await keyed.copy();
    await path.source.query(`update ${table} set k = 'A' where k = 'a'; update ${table} set v = 2 where k = 'é'`);
    expect(await keyed.expectEqual()).toBe(2);
    expect(await keyed.sink('select k, v from {current} order by k')).toBe('A\t1\nÉ\t2');
  });

  it('finds rows by a key of two columns, in the order of its index', async () => {
    const table = freshName('pair');
    await path.source.query(`create table ${table} (v text, b text, a int, w int, primary key (a, b));
      insert into ${table} select 'v' || i, 'b' || i % 10, i / 10, i from generate_series(0, 499) i`);
    const keyed = await path.add(table, { payload: 'key' });
    await keyed.copy();
    await path.source.query(`update ${table} set w = -w where a % 2 = 0; delete from ${table} where b = 'b3';
      update ${table} set a = a + 100, b = 'moved' where b = 'b4'`);
    expect(await keyed.expectEqual()).toBe(450);
  });

  it('passes over a value that ClickHouse refuses, and loads its correction', async () => {
    const table = freshName('refused');
    await path.source.query(`create table ${table} (id int primary key, d date)`);
    const keyed = await path.add(table, { payload: 'key' });
    await keyed.copy();
    await path.source.query(`insert into ${table} select i, '2024-01-01' from generate_series(1, 100) i;
      update ${table} set d = '1800-01-01' where id = 50`);
    await keyed.publish();
    await keyed.load(undefined, 10_000);
    expect(await keyed.sink('select count() from {current}')).toBe('99');
    await path.source.query(`update ${table} set d = '1900-01-01' where id = 50`);
    expect(await keyed.expectEqual()).toBe(100);
  });

  it('loads rows that are larger than a message of Kafka may be', async () => {
    const table = freshName('wide');
    await path.source.query(`create table ${table} (id int primary key, v text)`);
    const keyed = await path.add(table, { payload: 'key' });
    await keyed.copy();
    await path.source.query(`insert into ${table} select i, repeat(md5(i::text), 100000) from generate_series(1, 3) i`);
    expect(await keyed.expectEqual()).toBe(3);
  });
});
