import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { inspectTable } from '../../src/source/catalog/inspect.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { connectSource } from '../support/source-table.js';

/** What is refused when a table is added, and with which sentence; and what is found out about one that is not. */
describe('a table that is added', async () => {
  const address = await freshDatabase('inspect');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(`create schema pg2click; create schema shop; create table base (id int primary key, v text);
      create type mood as enum ('fine'); create domain price as numeric(10,2); create domain short_price as price check (value < 10)`);
  });
  afterAll(() => client.end());

  const inspect = (table: string, key?: readonly string[]): ReturnType<typeof inspectTable> =>
    inspectTable(client, { schema: 'public', table }, { key });
  const make = async (definition: string, more = ''): Promise<string> => {
    const table = freshName('t');
    await client.query(`create table ${table} ${definition}; ${more.replaceAll('TABLE', table)}`);
    return table;
  };

  it('is described by its columns, their base types, its key and its size', async () => {
    const table = await make(
      `(gone int, v varchar(20), id bigint, m mood, p short_price, n numeric(20,5) not null, b int, primary key (n, id) include (b))`,
      `alter table TABLE drop gone; insert into TABLE (id, n) values (1, 2); analyze TABLE`,
    );
    expect(await inspect(table)).toEqual({
      relation: expect.stringMatching(/^\d+$/u) as string,
      columns: [
        { name: 'v', position: 2, type: 'character varying', nullable: true },
        { name: 'id', position: 3, type: 'bigint', nullable: false },
        { name: 'm', position: 4, type: 'enum', nullable: true },
        { name: 'p', position: 5, type: 'numeric', precision: 10, scale: 2, nullable: true },
        { name: 'n', position: 6, type: 'numeric', precision: 20, scale: 5, nullable: false },
        { name: 'b', position: 7, type: 'integer', nullable: true },
      ],
      key: ['n', 'id'],
      triggerLevel: 'statement',
      subscribed: false,
      isTree: false,
      estimatedRows: 1,
    });
  });

  it('is refused in a database in SQL_ASCII, and taken in one in LATIN1', async () => {
    const locale = `template template0 locale_provider libc lc_collate 'C' lc_ctype 'C'`;
    for (const [encoding, refusal] of [
      ['SQL_ASCII', { kind: 'UnsuitableTable', message: expect.stringContaining('the encoding SQL_ASCII') as string }],
      ['LATIN1', undefined],
    ] as const) {
      const own = await connectSource(await freshDatabase('encoded', `encoding '${encoding}' ${locale}`));
      await own.query('create table t (id int primary key, v text)');
      const inspected = inspectTable(own, { schema: 'public', table: 't' }, { makes: 'nothing' });
      await (refusal === undefined
        ? expect(inspected).resolves.toMatchObject({ key: ['id'] })
        : expect(inspected).rejects.toMatchObject(refusal));
      await own.end();
    }
  });

  it('may have its key named: a unique index of exactly these columns, in its own order', async () => {
    const table = await make('(a int not null, b text not null, unique (b, a))');
    expect((await inspect(table, ['a', 'b'])).key).toEqual(['b', 'a']);
    await expect(inspect(table, ['a'])).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: `public.${table} has no unique index on exactly (a).`,
      remedy: expect.stringContaining('--key b,a') as string,
    });
    await expect(inspect(table)).rejects.toMatchObject({ message: `public.${table} has no primary key.` });
  });

  it('is looked for under its full name, and found elsewhere for the person who forgot the schema', async () => {
    await client.query(`create table shop.orders (id int primary key)`);
    await expect(inspect('orders')).rejects.toMatchObject({
      kind: 'MissingTable',
      remedy: 'Did you mean shop.orders?',
    });
    await expect(inspect('nowhere')).rejects.toMatchObject({ kind: 'MissingTable', remedy: undefined });
    await client.query('create table "Big" (id int primary key)');
    await expect(inspect('big')).rejects.toMatchObject({
      message: 'There is no table public.big in PostgreSQL.',
      remedy: `Names without quotes are in lower case. Did you mean 'public."Big"'?`,
    });
  });

  /** Definition, the key asked for, and the flaw in the refusal. */
  const BAD_KEYS: readonly (readonly [string, string, readonly string[] | undefined, RegExp])[] = [
    // An insert that waited for the deletion of the same key has the lower seq, and the tombstone would win.
    ['deferrable', '(id int primary key deferrable)', undefined, /is deferrable/u],
    ['deferrable though immediate', '(id int primary key deferrable initially immediate)', undefined, /is deferrable/u],
    ['partial', '(id int not null); create unique index on TABLE (id) where id > 0', ['id'], /by columns alone/u],
    [
      'of expressions',
      '(id int not null); create unique index on TABLE (id, (id + 1))',
      ['id'],
      /no unique index on exactly/u,
    ],
    ['of nullable columns', '(id int unique)', ['id'], /column id may be NULL/u],
    [
      'of a NOT NULL that was not validated',
      '(id int unique); alter table TABLE add constraint c not null id not valid',
      ['id'],
      /may be NULL/u,
    ],
    ['nulls not distinct', '(id int, unique nulls not distinct (id))', ['id'], /may be NULL/u],
    ['of floats', '(id double precision primary key)', undefined, /is of type double precision/u],
    ['of jsonb', '(id jsonb primary key)', undefined, /is of type jsonb/u],
    [
      'under another collation',
      '(id text not null); create unique index on TABLE (id collate "C")',
      ['id'],
      /other rules/u,
    ],
    [
      'under another operator class',
      '(id text not null); create unique index on TABLE (id text_pattern_ops)',
      ['id'],
      /other rules/u,
    ],
    [
      'included only',
      '(id int, a int not null, primary key (id) include (a))',
      ['id', 'a'],
      /no unique index on exactly/u,
    ],
  ];
  for (const [what, definition, key, message] of BAD_KEYS) {
    it(`is refused with a key that is ${what}`, async () => {
      const [columns = '', ...more] = definition.split(';');
      const table = await make(columns, more.join(';'));
      await expect(inspect(table, key)).rejects.toMatchObject({
        kind: 'UnsuitableTable',
        message: expect.stringMatching(message) as string,
      });
    });
  }

  it('is refused with an index that an interrupted build left invalid', async () => {
    const table = await make('(id int not null)', 'insert into TABLE values (1), (1)');
    await client.query(`create unique index concurrently on ${table} (id)`).catch(() => undefined);
    await expect(inspect(table, ['id'])).rejects.toMatchObject({
      message: expect.stringMatching(/is not valid/u) as string,
    });
  });

  it('is described by types of its own too: arrays, composite types, domains of both, and the = of an extension', async () => {
    await client.query(`create schema odd; create type odd.text as (a int); create extension citext;
      create domain moods as mood[]; create domain feeling as mood`);
    const table = await make(
      `(id citext primary key, v odd.text, a text[], m mood[], d moods, f feeling, o odd.text[], n numeric, c char(3))`,
    );
    const { columns } = await inspect(table);
    expect(columns.map(({ name, type }) => [name, type])).toEqual([
      ['id', 'public.citext'],
      ['v', 'odd.text'],
      ['a', 'text[]'],
      ['m', 'public.mood[]'],
      ['d', 'public.mood[]'],
      ['f', 'domain over enum'],
      ['o', 'odd.text[]'],
      ['n', 'numeric'],
      ['c', 'character'],
    ]);
    expect(columns.filter(({ equals }) => equals !== undefined)).toMatchObject([{ equals: 'operator(public.=)' }]);
  });

  it('is refused where it is no table of rows of its own', async () => {
    await client
      .query(
        `create view a_view as select * from base; create materialized view a_matview as select * from base;
      create sequence a_sequence; create unlogged table an_unlogged (id int primary key);
      create extension if not exists postgres_fdw`,
      )
      .catch(() => undefined);
    for (const [table, what] of Object.entries({
      a_view: 'a view',
      a_matview: 'a materialized view',
      a_sequence: 'a sequence',
      an_unlogged: 'an unlogged table',
    }))
      await expect(inspect(table)).rejects.toMatchObject({
        kind: 'UnsuitableTable',
        message: expect.stringContaining(what) as string,
      });
    await client.query(`create temp table a_temp (id int primary key)`);
    const { rows } = await client.query<{ s: string }>(`select pg_my_temp_schema()::regnamespace::text as s`);
    await expect(inspectTable(client, { schema: rows[0]?.s ?? '', table: 'a_temp' })).rejects.toMatchObject({
      message: expect.stringContaining('a temporary table') as string,
    });
  });

  it('has row triggers where statements that name another table change its rows', async () => {
    await client.query(`create table a_parted (id int primary key) partition by range (id);
      create table a_leaf partition of a_parted for values from (1) to (9);
      create table a_parent (id int primary key); create table a_child (primary key (id)) inherits (a_parent)`);
    for (const table of ['a_parted', 'a_leaf', 'a_parent', 'a_child'])
      expect(await inspect(table)).toMatchObject({ triggerLevel: 'row', isTree: table === 'a_parted' });
    expect(await inspect('a_parent')).toMatchObject({ heirs: ['public.a_child'] });
    await expect(
      inspectTable(client, { schema: 'public', table: 'a_parted' }, { makes: 'nothing' }),
    ).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: 'public.a_parted is a partitioned table: it cannot be replicated.',
    });
  });

  it("is refused where it is the system's or ours", async () => {
    await client.query(`create table pg2click.own (id int primary key)`);
    await expect(inspectTable(client, { schema: 'pg2click', table: 'own' })).rejects.toMatchObject({
      kind: 'UnsuitableTable',
    });
    await expect(inspectTable(client, { schema: 'pg_catalog', table: 'pg_class' })).rejects.toMatchObject({
      kind: 'UnsuitableTable',
    });
  });

  it('is refused with a column that has the name of one of ours', async () => {
    const table = await make('(id int primary key, _version int)');
    await expect(inspect(table)).rejects.toMatchObject({ message: expect.stringContaining('_version') as string });
  });

  it('is refused to a role that may not read it, may not put triggers on it, or from which rows are hidden', async () => {
    const role = freshName('role');
    await client.query(`create role ${role}; create table guarded (id int primary key); set role ${role}`);
    await expect(inspect('guarded')).rejects.toMatchObject({ kind: 'Unauthorized' });
    await client.query(`reset role; grant select on guarded to ${role}; set role ${role}`);
    await expect(inspect('guarded')).rejects.toMatchObject({ kind: 'Unauthorized' });
    await client.query(`reset role; alter table guarded owner to ${role}; set role ${role}`);
    await inspect('guarded');
    await client.query(`alter table guarded enable row level security; alter table guarded force row level security`);
    await expect(inspect('guarded')).rejects.toMatchObject({ message: expect.stringMatching(/hides rows/u) as string });
    await client.query(`reset role`);
    await inspect('guarded');
    await client.query(`drop owned by ${role}; drop role ${role}`);
  });

  // It would publish the outbox as well, whose table the subscriber does not have, and it would stop.
  it('is refused while a publication publishes everything, or our schema', async () => {
    await client.query(`create publication one_table for table base`);
    await inspect('base');
    for (const scope of ['for all tables', 'for tables in schema pg2click']) {
      await client.query(`create publication too_much ${scope}`);
      await expect(inspect('base')).rejects.toMatchObject({
        kind: 'UnsuitableTable',
        message: expect.stringContaining('too_much') as string,
      });
      await client.query(`drop publication too_much`);
    }
  });
});
