import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { TRIGGER_LEVELS, type ReplicatedTable } from '../../src/domain/replicated-table.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { byText, connectSource, replicate } from '../support/source-table.js';

/** One thing that a user may do to a table, and how the table is written afterwards. `T` is the table. */
interface Alteration {
  readonly what: string;
  /** Columns of the table; `id` is the key. */
  readonly columns?: string;
  readonly before?: string;
  readonly alter: string;
  /** Rows 2, 3 and 4, one each. */
  readonly insert: (row: number) => string;
  /** Images of the keys of rows 2 to 4; null where they cannot be known. */
  readonly keys: readonly string[] | null;
}

const COLUMNS = 'id int primary key, ref int, v text';
const byId = (row: number): string => `insert into T (id, v) values (${row}, 'new')`;

const ALTERATIONS: readonly Alteration[] = [
  {
    what: 'its key column is renamed',
    alter: 'alter table T rename id to number',
    insert: (row) => `insert into T (number, v) values (${row}, 'new')`,
    keys: ['2', '3', '4'],
  },
  {
    what: 'its key column becomes bigint',
    alter: 'alter table T alter id type bigint',
    insert: (row) => `insert into T (id) values (${row}000000000)`,
    keys: ['2000000000', '3000000000', '4000000000'],
  },
  {
    what: 'its key column becomes bigint, then numeric',
    alter: 'alter table T alter id type bigint; alter table T alter id type numeric',
    insert: (row) => `insert into T (id) values (${row}.5)`,
    keys: ['2.5', '3.5', '4.5'],
  },
  {
    what: 'its key column becomes a uuid',
    alter: `alter table T alter id type uuid using lpad(id::text, 32, '0')::uuid`,
    insert: (row) => `insert into T (id) values (lpad('${row}', 32, '0')::uuid)`,
    keys: ['2', '3', '4'].map((digit) => `00000000-0000-0000-0000-00000000000${digit}`),
  },
  {
    what: 'its uuid key becomes text',
    columns: 'id uuid primary key, v text',
    before: `insert into T values ('00000000-0000-0000-0000-000000000001', 'old')`,
    alter: 'alter table T alter id type text',
    insert: (row) => `insert into T (id) values ('number ${row}')`,
    keys: ['number 2', 'number 3', 'number 4'],
  },
  {
    what: 'its varchar key is widened',
    columns: 'id varchar(3) primary key, v text',
    before: `insert into T values ('1', 'old')`,
    alter: 'alter table T alter id type varchar(30)',
    insert: (row) => `insert into T (id) values ('a wide ${row}')`,
    keys: ['a wide 2', 'a wide 3', 'a wide 4'],
  },
  {
    what: 'its timestamp key becomes a timestamptz',
    columns: 'id timestamp primary key, v text',
    before: `insert into T values ('2001-01-01', 'old')`,
    alter: `alter table T alter id type timestamptz using id at time zone 'UTC'`,
    insert: (row) => `insert into T (id) values ('2002-03-0${row} 00:00:00+00')`,
    keys: ['2', '3', '4'].map((day) => `2002-03-0${day} 00:00:00+00`),
  },
  {
    what: 'names of a key column and another one are swapped',
    before: `insert into T values (1, 100, 'old')`,
    alter: 'alter table T rename id to other; alter table T rename ref to id; alter table T rename other to ref',
    insert: (row) => `insert into T (ref, id, v) values (${row}, 9, 'new')`,
    keys: ['2', '3', '4'],
  },
  {
    what: 'names of a key column and one of another type are swapped',
    before: `insert into T values (1, 100, 'old')`,
    alter: 'alter table T rename id to other; alter table T rename v to id; alter table T rename other to v',
    insert: (row) => `insert into T (v, id) values (${row}, 'nine')`,
    keys: ['2', '3', '4'],
  },
  {
    what: 'its primary key is dropped',
    alter: 'alter table T drop constraint T_pkey',
    insert: byId,
    keys: ['2', '3', '4'],
  },
  {
    what: 'its primary key is dropped and made anew',
    alter: 'alter table T drop constraint T_pkey; alter table T add primary key (id)',
    insert: byId,
    keys: ['2', '3', '4'],
  },
  {
    what: 'its primary key is made of another column',
    before: `insert into T values (1, 1, 'old')`,
    alter:
      'alter table T drop constraint T_pkey; alter table T add primary key (ref); alter table T alter id drop not null',
    insert: (row) => `insert into T (id, ref) values (${row}, ${row})`,
    keys: ['2', '3', '4'],
  },
  {
    what: 'its key column is dropped',
    alter: 'alter table T drop id',
    insert: (row) => `insert into T (ref, v) values (${row}, 'new')`,
    keys: null,
  },
  {
    what: 'its key column is dropped and added in one transaction',
    alter: 'begin; alter table T drop id; alter table T add id int generated always as identity primary key; commit',
    insert: (row) => `insert into T (ref, v) values (${row}, 'new')`,
    keys: null,
  },
  {
    what: 'an earlier column is dropped',
    columns: 'gone int, id int primary key, v text',
    before: `insert into T values (0, 1, 'old')`,
    alter: 'alter table T drop gone',
    insert: byId,
    keys: ['2', '3', '4'],
  },
  {
    what: 'it is renamed',
    alter: 'alter table T rename to T_old',
    insert: (row) => byId(row).replace('T', 'T_old'),
    keys: ['2', '3', '4'],
  },
  {
    what: 'it is moved to another schema',
    alter: 'alter table T set schema moved',
    insert: (row) => byId(row).replace('T', 'moved.T'),
    keys: ['2', '3', '4'],
  },
  {
    what: 'it is renamed, moved and its key column with it',
    alter: 'alter table T rename id to "Order"; alter table T rename to T_old; alter table T_old set schema moved',
    insert: (row) => `insert into moved.T_old ("Order", v) values (${row}, 'new')`,
    keys: ['2', '3', '4'],
  },
  {
    what: 'the enum type of its key is dropped',
    columns: 'id T_mood primary key, ref int',
    before: `insert into T values ('one', 1)`,
    alter: 'drop type T_mood cascade',
    insert: (row) => `insert into T (ref) values (${row})`,
    keys: null,
  },
  {
    what: 'a column of its composite key is renamed and the other one retyped',
    columns: 'id int, ref int, v text, primary key (ref, id)',
    before: `insert into T values (1, 1, 'old')`,
    alter: 'alter table T rename id to number; alter table T alter ref type text',
    insert: (row) => `insert into T (number, ref) values (${row}, 'r')`,
    keys: ['r,2', 'r,3', 'r,4'],
  },
];

describe.each(TRIGGER_LEVELS)('the writers of a table with triggers of level %s', async (triggerLevel) => {
  const address = await freshDatabase('altered');
  const clients: pg.Client[] = [];
  const connect = async (): Promise<pg.Client> => {
    const client = await connectSource(address);
    clients.push(client);
    return client;
  };
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(`create schema moved; set lock_timeout = '5s'`);
  });
  // A test that failed must not leave the next one behind an open transaction.
  afterEach(() => Promise.all(clients.splice(0).map((each) => each.end())));
  afterAll(() => client.end());

  const imagesOf = async (table: ReplicatedTable): Promise<(string | null)[]> => {
    // As JSON: a column of the outbox may be gone with the type of the key.
    const found = await client.query<{ image: string | null }>(
      `select case when mark is null then array_to_string(coalesce(
          (select array_agg(e) from jsonb_array_elements_text(nullif(event -> 'loose', 'null')) e),
          array[${table.key.map((_, index) => `event ->> 'k${index + 1}'`).join(', ')}]), ',') end as image
        from (select mark, seq, to_jsonb(o) as event from pg2click.outbox_${table.id} o) o order by seq`,
    );
    return found.rows.map(({ image }) => image);
  };

  it.each(ALTERATIONS)('never fail, and leave their keys, when $what', async (alteration) => {
    const t = freshName('t');
    const fill = (text: string): string => text.replaceAll(/\bT(?=\b|_)/gu, t);
    const [old, repeatable] = [await connect(), await connect()];
    // What keys look like must not depend on it.
    await old.query(`set datestyle = 'German, DMY'; set timezone = 'UTC'`);
    await client.query(`create type ${t}_mood as enum ('one')`);
    await client.query(fill(`create table T (${alteration.columns ?? COLUMNS})`));
    const table = await replicate(client, { schema: 'public', table: t }, { triggerLevel });
    // Two sessions with plans of the time before, one of them in a transaction that sees the catalogue as it was then.
    for (const writer of [old, repeatable]) {
      await writer.query(fill(alteration.before ?? `insert into T values (1, 1, 'old')`));
      await writer.query(`update ${t} set id = id`);
      await writer.query(`delete from ${t}`);
    }
    await client.query(`truncate pg2click.outbox_${table.id}`);
    await repeatable.query('begin isolation level repeatable read; select count(*) from pg_class');

    for (const statement of fill(alteration.alter).split('; ')) await client.query(statement);
    const fresh = await connect();
    for (const [index, writer] of [old, repeatable, fresh].entries())
      await writer.query(fill(alteration.insert(index + 2)));
    await repeatable.query('commit');
    expect((await imagesOf(table)).toSorted(byText)).toEqual(alteration.keys ?? [null, null, null]);

    const name = (await client.query<{ name: string }>(`select ${table.relation}::regclass as name`)).rows[0]?.name;
    for (const writer of [old, repeatable, fresh]) {
      await client.query(`truncate pg2click.outbox_${table.id}`);
      const column = (
        await client.query<{ name: string }>(
          `select attname as name from pg_attribute where attrelid = ${table.relation} and attnum > 0 and not attisdropped limit 1`,
        )
      ).rows[0]?.name;
      await writer.query(`update ${name} set "${column}" = "${column}"`);
      expect(new Set(await imagesOf(table))).toEqual(new Set(alteration.keys ?? [null]));
      await writer.query(`truncate ${name}`);
      for (let row = 2; row <= 4; row++) await writer.query(fill(alteration.insert(row)));
      await client.query(`truncate pg2click.outbox_${table.id}`);
      await writer.query(`delete from ${name}`);
      expect(new Set(await imagesOf(table))).toEqual(new Set(alteration.keys ?? [null]));
      for (let row = 2; row <= 4; row++) await writer.query(fill(alteration.insert(row)));
    }
  });

  it('never fail through rounds of changes of type and name, and every key is there', { timeout: 40_000 }, async () => {
    const t = freshName('t');
    await client.query(`create table ${t} (id int primary key, ref int, v text)`);
    const table = await replicate(client, { schema: 'public', table: t }, { triggerLevel });
    const rounds = [
      `alter table ${t} alter id type bigint`,
      `alter table ${t} rename id to number`,
      `alter table ${t} rename number to id`,
      `alter table ${t} alter id type numeric(20)`,
      `begin; alter table ${t} rename id to x; alter table ${t} rename ref to id; alter table ${t} rename x to ref; commit`,
      `alter table ${t} add extra int default 5; alter table ${t} drop extra`,
      `begin; alter table ${t} rename id to x; alter table ${t} rename ref to id; alter table ${t} rename x to ref; commit`,
      `alter table ${t} alter id type text`,
      `alter table ${t} drop constraint ${t}_pkey; alter table ${t} add primary key (id)`,
      `alter table ${t} alter id type int using id::int`,
      `reindex table concurrently ${t}`,
      `alter table ${t} alter id type bigint`,
    ];
    let done = false;
    const failed: unknown[] = [];
    const written: string[] = [];
    const writers = await Promise.all(Array.from({ length: 6 }, connect));
    // By the order of the columns, so that the statement fits whatever they are called.
    const insert = async (writer: pg.Client, number: number): Promise<void> => {
      for (let row = 0; !done; row++) {
        const key = number * 1_000_000 + row;
        try {
          if (row % 10 === 9)
            await writer.query('begin isolation level repeatable read; select count(*) from pg_class');
          await writer.query(`insert into ${t} values (${key}, 0, 'new')`);
          if (row % 10 === 9) await writer.query('commit');
          written.push(String(key));
        } catch (error) {
          failed.push(error);
          if (failed.length > 20) return;
          if (row % 10 === 9) await writer.query('rollback');
        }
      }
    };
    const writing = Promise.all(writers.map(insert));
    for (const round of rounds) {
      const seen = written.length;
      for (const statement of round.split('; ')) await client.query(statement);
      while (written.length < seen + 60 && failed.length === 0) await new Promise((wake) => setTimeout(wake, 5));
    }
    done = true;
    await writing;
    expect(failed).toEqual([]);
    expect(new Set(await imagesOf(table))).toEqual(new Set(written));
    expect(await imagesOf(table)).toHaveLength(written.length);
  });
});
