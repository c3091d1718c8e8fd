import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Registry } from '../../dev/stack/registry.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { openPath, type Path } from '../support/path.js';
import { openRegistry } from '../support/registry.js';
import { freshName } from '../support/stack.js';
import { MAKE_TYPES, VALUES } from '../support/type-values.js';

const TYPES = Object.keys(VALUES);

/** A table with a column of every type goes in with no option about any of them, whatever the way of its rows. */
describe('a table with every type', () => {
  let path: Path;
  let registry: Registry;
  beforeAll(async () => {
    registry = await openRegistry();
    path = await openPath({ env: { SCHEMA_REGISTRY_URL: registry.url } });
    await path.source.query(MAKE_TYPES);
  });
  afterAll(async () => {
    await path.close();
    await registry.stop();
  });

  const make = async (): Promise<string> => {
    const name = freshName('t');
    await path.source.query(
      `create table ${name} (id int primary key, note text, ${TYPES.map((type, at) => `c${at} ${type}`).join(', ')})`,
    );
    const rows = Math.max(...TYPES.map((type) => VALUES[type]?.length ?? 0)) + 1;
    const places = TYPES.map((_, at) => `$${at + 1}`).join(', ');
    for (let id = 0; id < rows; id += 1)
      await path.source.query(
        `insert into ${name} values (${id}, null, ${places})`,
        TYPES.map((type) => VALUES[type]?.[id] ?? null),
      );
    return name;
  };

  it.each<[string, TableOptions]>([
    ['outbox, kafka, json', {}],
    ['outbox, kafka, packed', { format: 'packed' }],
    ['outbox, kafka, avro', { format: 'avro' }],
    ['outbox, kafka, keys', { payload: 'key' }],
    ['outbox, direct', { transport: 'direct' }],
    ['outbox, kafka, the Kafka engine of ClickHouse', { loader: 'kafka-engine' }],
    ['outbox, kafka, avro, the Kafka engine of ClickHouse', { format: 'avro', loader: 'kafka-engine' }],
  ])('is equal after a copy, updates and deletes: %s', async (_, options) => {
    const name = await make();
    const table = await path.add(name, options);
    await table.copy();
    await path.source.query(`update ${name} set note = 'seen'; delete from ${name} where id = 1`);
    expect(await table.expectEqual()).toBeGreaterThan(5);
    await table.remove(true);
  });

  it('has generated columns of both kinds, and columns that were dropped before', async () => {
    const name = freshName('t');
    await path.source
      .query(`create table ${name} (junk1 text, id int primary key, a int, s int generated always as (a * 2) stored,
      v int generated always as (a + 1) virtual, junk2 int, b text, w text generated always as (upper(b)) stored)`);
    await path.source.query(`insert into ${name} (id, a, b) values (1, 1, 'x'), (2, null, null);
      alter table ${name} drop column junk1, drop column junk2, add column c int default 9;
      insert into ${name} (id, a, b, c) values (3, 3, 'z', null)`);
    const table = await path.add(name);
    await table.copy();
    await path.source.query(`update ${name} set a = 10 where id = 1; insert into ${name} (id, a, b) values (4, 4, 'q');
      update ${name} set b = 'ß' where id = 2`);
    expect(await table.expectEqual()).toBe(4);
    expect(await table.sink('select a, s, v, b, w, c from {current} where id = 1')).toBe('10\t20\t11\tx\tX\t9');
  });

  it('may be keyed by a generated column, or by an identity', async () => {
    const [generated, identity] = [freshName('t'), freshName('t')];
    await path.source.query(`create table ${generated} (a int, k int generated always as (a * 10) stored primary key);
      insert into ${generated} values (1); create table ${identity} (id int generated always as identity primary key, v text);
      insert into ${identity} (v) values ('x')`);
    const tables = [await path.add(generated), await path.add(identity)];
    for (const table of tables) await table.copy();
    await path.source.query(`update ${generated} set a = 2; insert into ${identity} (v) values ('y')`);
    expect(await tables[0]?.expectEqual()).toBe(1);
    expect(await tables[1]?.expectEqual()).toBe(2);
  });

  it('keeps keys apart that look alike', async () => {
    const [single, pair] = [freshName('t'), freshName('t')];
    await path.source.query(`create table ${single} (k text primary key, v int);
      insert into ${single} select k, 0 from unnest(array['a','a ','A','a'||chr(160),'','ß','SS','ss','é', 'e'||chr(769), E'tab\\t', E'\\\\N',
        E'\\\\', E'line\\n', E'cr\\r', '0','00','-0','1e0', chr(1), chr(65279)||'a', 'ı','I','i','İ', U&'\\+01F600', chr(8203)]) k;
      create table ${pair} (a varchar(5), b text, v int, primary key (b, a));
      insert into ${pair} values ('x','y:z',1),('x:y','z',2),('',' ',3),(' ','',4)`);
    const tables = [await path.add(single), await path.add(pair, { transport: 'direct' })];
    for (const table of tables) await table.copy();
    await path.source.query(`update ${single} set v = 1 where k = 'a '; update ${single} set v = 2 where k = 'é';
      delete from ${single} where k = 'A'; delete from ${single} where k = E'\\\\N';
      update ${single} set k = k || ' ' where k in ('SS',''); update ${single} set k = 'a' || chr(8203) where k = 'ı';
      update ${pair} set v = 5 where a = ' '`);
    expect(await tables[0]?.expectEqual()).toBe(25);
    expect(await tables[1]?.expectEqual()).toBe(4);
  });

  it('may have as many columns as PostgreSQL allows', async () => {
    const name = freshName('t');
    const columns = Array.from(
      { length: 1590 },
      (_, at) => `a_rather_long_column_name_of_forty_chars_${String(at).padStart(4, '0')} int default ${at}`,
    );
    await path.source.query(
      `create table ${name} (id int primary key, ${columns.join(', ')}); insert into ${name} (id) values (1), (2)`,
    );
    const table = await path.add(name);
    await table.copy();
    await path.source.query(`update ${name} set a_rather_long_column_name_of_forty_chars_0700 = -1 where id = 2`);
    expect(await table.expectEqual()).toBe(2);
  });
});
