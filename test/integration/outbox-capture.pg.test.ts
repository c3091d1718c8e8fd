import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { composeVersion } from '../../src/domain/version.js';
import { removeOutbox } from '../../src/source/outbox/install.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { byText, connectSource, drain, replicate, type Seen } from '../support/source-table.js';

/** What the triggers write and what the drain makes of it. */
describe('a change of a table with an outbox', async () => {
  const address = await freshDatabase('capture');
  let client: pg.Client;
  const others: pg.Client[] = [];
  beforeAll(async () => {
    client = await connectSource(address);
  });
  afterAll(() => Promise.all([client, ...others].map((each) => each.end())));

  const make = async (
    columns: string,
    options: Parameters<typeof replicate>[2] = {},
  ): Promise<[string, ReplicatedTable]> => {
    const table = freshName('t');
    await client.query(`create table ${table} (${columns})`);
    return [table, await replicate(client, { schema: 'public', table }, options)];
  };
  const events = async (table: ReplicatedTable): Promise<number> =>
    (await client.query(`select from pg2click.outbox_${table.id}`)).rowCount ?? -1;
  const brief = (seen: Seen[]): unknown[] =>
    seen.map(({ kind, key, value }) => [kind, key, value['_deleted'] === 1 ? 'gone' : value['v']]);

  it('arrives as the row it is now, with a version that rises', async () => {
    const [t, table] = await make('id bigint primary key, v text', { generation: 3 });
    await client.query(`insert into ${t} values (1, 'a'), (2, 'b')`);
    const first = await drain(client, table);
    expect(brief(first)).toEqual([
      ['row', [1], 'a'],
      ['row', [2], 'b'],
    ]);
    await client.query(`update ${t} set v = 'c' where id = 1; delete from ${t} where id = 2`);
    const second = await drain(client, table);
    expect(brief(second)).toEqual([
      ['row', [1], 'c'],
      ['row', [2], 'gone'],
    ]);
    for (const { value, seq } of [...first, ...second])
      expect(value['_version']).toBe(String(composeVersion(3, seq, 1n)));
    expect(second[0]?.seq).toBeGreaterThan(first[1]?.seq ?? 0n);
    expect(second[1]?.value).toEqual({ id: 2, _version: expect.any(String) as string, _deleted: 1 });
  });

  it('is one line for each key, however often the key changed', async () => {
    const [t, table] = await make('id int primary key, v text');
    await client.query(`insert into ${t} values (1, 'a')`);
    await client.query(`update ${t} set v = 'b'`);
    await client.query(`update ${t} set v = 'c'`);
    expect(await events(table)).toBe(3);
    const seen = await drain(client, table);
    expect(brief(seen)).toEqual([['row', [1], 'c']]);
    expect(seen[0]?.seq).toBe(3n);
  });

  it('writes one event for an update that leaves the key alone, and two for one that changes it', async () => {
    const [t, table] = await make('id int primary key, v text');
    await client.query(`insert into ${t} values (1, 'a')`);
    await drain(client, table);
    await client.query(`update ${t} set v = 'b'`);
    expect(await events(table)).toBe(1);
    await client.query(`update ${t} set id = 2`);
    expect(await events(table)).toBe(3);
    expect(brief(await drain(client, table))).toEqual(
      expect.arrayContaining([
        ['row', [1], 'gone'],
        ['row', [2], 'b'],
      ]),
    );
  });

  it('may move keys along, onto those that others had', async () => {
    const [t, table] = await make('a int, b text, v text, primary key (b, a)');
    await client.query(`insert into ${t} values (1, 'x', 'one'), (2, 'x', 'two'), (3, 'x', 'three')`);
    await drain(client, table);
    await client.query(`with gone as (delete from ${t} where a = 3 returning *) update ${t} set a = a + 5 where a < 3`);
    await client.query(`update ${t} set a = a - 4`);
    const seen = new Map((await drain(client, table)).map((each) => [JSON.stringify(each.key), each.value]));
    expect([...seen].map(([key, value]) => [key, value['_deleted'], value['v']]).toSorted(byText)).toEqual([
      ['["x",1]', 1, undefined],
      ['["x",2]', 0, 'one'],
      ['["x",3]', 0, 'two'],
      ['["x",6]', 1, undefined],
      ['["x",7]', 1, undefined],
    ]);
  });

  it('is a mark when it is a TRUNCATE, above what was before and below what comes after', async () => {
    const [t, table] = await make('id int primary key, v text');
    await client.query(`insert into ${t} values (1, 'a'), (2, 'b')`);
    await client.query(`truncate ${t}`);
    await client.query(`insert into ${t} values (2, 'c')`);
    const seen = await drain(client, table);
    expect(brief(seen)).toEqual([
      ['row', [1], 'gone'],
      ['truncate', undefined, undefined],
      ['row', [2], 'c'],
    ]);
    expect(seen[1]?.value).toEqual({ _version: String(composeVersion(1, 3n, 1n)) });
  });

  it('is seen whatever the session says, also in the role of a replica', async () => {
    const [t, table] = await make('id int primary key, v text');
    await client.query(`set session_replication_role = replica`);
    await client.query(`insert into ${t} values (1, 'a')`);
    await client.query(`update ${t} set v = 'b'`);
    await client.query(`truncate ${t}`);
    await client.query(`set session_replication_role = origin`);
    expect(await events(table)).toBe(3);
  });

  it('is captured for a role without any right on pg2click', async () => {
    const [t, table] = await make('id int primary key, v text');
    const role = freshName('writer');
    await client.query(`create role ${role}; grant all on ${t} to ${role}`);
    await client.query(`set role ${role}; set search_path = pg_temp, public`);
    await client.query(`create temp table outbox_${table.id} (k1 int)`);
    await client.query(`insert into ${t} values (1, 'a')`);
    await expect(client.query(`select pg2click.capture_${table.id}_insert()`)).rejects.toThrow(/permission denied/u);
    await client.query(`reset role; reset search_path`);
    expect(await events(table)).toBe(1);
    await client.query(`drop owned by ${role}; drop role ${role}`);
  });

  it('arrives from COPY, MERGE, ON CONFLICT and a foreign key that cascades', async () => {
    const [parent] = await make('id int primary key');
    const [t, table] = await make(`id int primary key, p int references ${parent} on delete cascade, v text`);
    await client.query(`insert into ${parent} values (1), (2)`);
    await client.query(`insert into ${t} values (1, 1, 'a'), (2, 2, 'b')`);
    await client.query(`insert into ${t} values (1, 1, 'x'), (3, 2, 'c')
      on conflict (id) do update set v = excluded.v || '!'`);
    await client.query(`merge into ${t} using (values (2), (4)) as wanted (id) on ${t}.id = wanted.id
      when matched then update set v = 'merged' when not matched then insert values (wanted.id, 2, 'new')`);
    expect(brief(await drain(client, table)).toSorted(byText)).toEqual([
      ['row', [1], 'x!'],
      ['row', [2], 'merged'],
      ['row', [3], 'c'],
      ['row', [4], 'new'],
    ]);
    await client.query(`delete from ${parent} where id = 2`);
    expect(brief(await drain(client, table))).toHaveLength(3);
  });

  // A row image written by the outer statement's trigger would be the older one, with the higher seq.
  it('is the newest row where a trigger of the user changes the same row again', async () => {
    const [t, table] = await make('id int primary key, v text');
    await client.query(`create function ${t}_again() returns trigger language plpgsql as $$
      begin update ${t} set v = 'inner' where id = new.id; return null; end $$`);
    await client.query(`create trigger again after insert on ${t} for each row execute function ${t}_again()`);
    await client.query(`insert into ${t} values (1, 'outer')`);
    expect(brief(await drain(client, table))).toEqual([['row', [1], 'inner']]);
  });

  it('compares keys by the text that is sent, not by a collation that calls different texts equal', async () => {
    await client.query(`create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`);
    const [t, table] = await make('id text collate ci primary key, v int');
    await client.query(`insert into ${t} values ('a', 1)`);
    await drain(client, table);
    await client.query(`update ${t} set id = 'A', v = 2`);
    expect(brief(await drain(client, table)).toSorted(byText)).toEqual([
      ['row', ['A'], 2],
      ['row', ['a'], 'gone'],
    ]);
    // Two images of one key in one batch: grouped by `=`, one of them would be missing.
    await client.query(`update ${t} set id = 'a', v = 3`);
    await client.query(`update ${t} set id = 'A', v = 4`);
    expect(brief(await drain(client, table)).toSorted(byText)).toEqual([
      ['row', ['A'], 4],
      ['row', ['a'], 'gone'],
    ]);
  });

  it('survives names of every kind', async () => {
    const names = ['n', 'seq', 'row', 'mark', 'batch', 'value', 'source', 'event', 'changed', 'found', 'tg_op', 'new'];
    const awkward = ['Quo"te', `it's`, 'back\\slash', '$pg2click$', 'tab\there', 'new\nline', 'ünïcode'.repeat(5)];
    const all = [...names, ...awkward];
    const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
    const schema = quote('My.Schema');
    const table = 'T"able ' + 'x'.repeat(56);
    await client.query(`create schema ${schema}`);
    await client.query(`create table ${schema}.${quote(table)}
      (${all.map((name) => `${quote(name)} int not null`).join(', ')}, "r" text, primary key (${all.map(quote).join(', ')}))`);
    const replica = await replicate(client, { schema: 'My.Schema', table });
    const numbers = all.map((_, index) => index);
    await client.query(`insert into ${schema}.${quote(table)} values (${numbers.join(', ')}, 'one')`);
    await client.query(`update ${schema}.${quote(table)} set r = 'two', "n" = 100`);
    const seen = await drain(client, replica);
    const [gone, row] = seen.toSorted((a, b) => Number(b.value['_deleted']) - Number(a.value['_deleted']));
    const expected = Object.fromEntries(all.map((name, index) => [name, index]));
    expect(gone?.value).toMatchObject({ ...expected, _deleted: 1 });
    expect(row?.value).toMatchObject({ ...expected, n: 100, r: 'two', _deleted: 0 });
    expect(row?.key).toEqual([100, ...numbers.slice(1)]);
    await client.query(`truncate ${schema}.${quote(table)}`);
    expect((await drain(client, replica)).map(({ kind }) => kind)).toEqual(['truncate']);
    await removeOutbox(client, replica);
    await client.query(`insert into ${schema}.${quote(table)} values (${numbers.join(', ')}, 'three')`);
  });

  it('still works for the user after other columns came, went, were renamed or widened', async () => {
    const [t, table] = await make('id varchar(4) primary key, v text, w int');
    await client.query(`alter table ${t} alter id type varchar(40), drop w, add x int default 5`);
    await client.query(`alter table ${t} rename v to y`);
    await client.query(`insert into ${t} values ('longer than four', 'a', 1)`);
    expect(await events(table)).toBe(1);
  });
});
