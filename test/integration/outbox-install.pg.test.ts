import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TRIGGER_LEVELS, type ReplicatedTable } from '../../src/domain/replicated-table.js';
import { fingerprintTable } from '../../src/source/catalog/fingerprint.js';
import { removeOutbox } from '../../src/source/outbox/install.js';
import { outboxCapture } from '../../src/source/outbox/outbox-capture.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { connectSource, drain, replicate } from '../support/source-table.js';

/** Putting an outbox on a table that is in use, and taking it off. */
describe('the outbox of a table', async () => {
  const address = await freshDatabase('install');
  let client: pg.Client;
  let writer: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    writer = await connectSource(address);
  });
  afterAll(() => Promise.all([client.end(), writer.end()]));

  const make = async (columns = 'id int primary key, v text'): Promise<[string, ReplicatedTable]> => {
    const table = freshName('t');
    await client.query(`create table ${table} (${columns})`);
    return [table, await replicate(client, { schema: 'public', table })];
  };
  const leftovers = async (id: string): Promise<number> =>
    (
      await client.query(
        `select from pg_class where relname like 'outbox\\_${id}%'
         union all select from pg_proc where proname like 'capture\\_${id}\\_%'
         union all select from pg_trigger where tgname like 'pg2click\\_${id}\\_%'`,
      )
    ).rowCount ?? -1;

  it('is not made again when it is there: the source looks as before', async () => {
    const [t, table] = await make();
    const before = await fingerprintTable(client, table);
    await writer.query(`begin; insert into ${t} values (1)`);
    await outboxCapture.install(client, table);
    await writer.query('commit');
    expect(await fingerprintTable(client, table)).toBe(before);
  });

  it('is made again where one of its triggers is missing or off', async () => {
    const [t, table] = await make();
    await client.query(`drop trigger pg2click_${table.id}_insert on ${t}; alter table ${t} disable trigger user`);
    await outboxCapture.install(client, table);
    await client.query(`insert into ${t} values (1); update ${t} set v = 'b'`);
    expect(await drain(client, table)).toHaveLength(1);
  });

  it.each([false, true])(
    'is refused where its table was altered since it was inspected; there already: %s',
    async (there) => {
      const [t, table] = await make();
      if (!there) await removeOutbox(client, table);
      await writer.query(`begin; alter table ${t} add column note text`);
      const installing = outboxCapture.install(client, table);
      await writer.query('commit');
      await expect(installing).rejects.toMatchObject({ kind: 'Fenced', message: expect.stringContaining(t) });
      expect((await leftovers(table.id)) === 0).toBe(!there);
    },
  );

  it('gives a fingerprint in which its triggers fire', async () => {
    const [t, table] = await make();
    const fingerprint = await outboxCapture.install(client, table);
    expect(fingerprint).toBe(await fingerprintTable(client, table));
    await client.query(`alter table ${t} disable trigger user`);
    expect(await outboxCapture.install(client, table)).not.toBe(fingerprint);
    expect(await outboxCapture.install(client, table)).toBe(await fingerprintTable(client, table));
  });

  it('does not go to another table that has been given the name meanwhile', async () => {
    const [t, table] = await make();
    await removeOutbox(client, table);
    await client.query(`create table new_${t} (other int, id int primary key, v text);
      alter table ${t} rename to old_${t}; alter table new_${t} rename to ${t}`);
    await expect(outboxCapture.install(client, table)).rejects.toMatchObject({ kind: 'Fenced' });
    expect(await leftovers(table.id)).toBe(0);
    await client.query(`insert into ${t} values (1, 1); insert into old_${t} values (1)`);
  });

  it.each(TRIGGER_LEVELS)(
    'fails no write of another table that got one of its triggers; level %s',
    async (triggerLevel) => {
      const t = freshName('t');
      await client.query(`create table ${t} (id int, a int, primary key (a, id)); create table other_${t} (b text)`);
      const table = await replicate(client, { schema: 'public', table: t }, { triggerLevel });
      const how = {
        row: () => 'for each row',
        statement: (rows: string) => `referencing ${rows} for each statement`,
      }[triggerLevel];
      const [before, after] = ['old table as pg2click_old', 'new table as pg2click_new'];
      for (const [event, rows] of Object.entries({ insert: after, update: `${before} ${after}`, delete: before }))
        await client.query(`create trigger ${event} after ${event} on other_${t} ${how(rows)}
        execute function pg2click.capture_${table.id}_${event}()`);
      await client.query(`insert into other_${t} values ('x'); update other_${t} set b = 'y'; delete from other_${t}`);
      const marks = await client.query(`select distinct mark from pg2click.outbox_${table.id}`);
      expect(marks.rows).toEqual([{ mark: 'x' }]);
    },
  );

  it('catches a transaction that began before it and had not touched the table', async () => {
    const [t, table] = await make();
    await removeOutbox(client, table);
    await writer.query(`begin isolation level repeatable read; select 1`);
    await outboxCapture.install(client, table);
    await writer.query(`insert into ${t} values (1); commit`);
    expect(await drain(client, table)).toHaveLength(1);
  });

  it('is taken off without a trace, wherever its table is by now', async () => {
    const [t, table] = await make();
    await client.query(`create schema if not exists elsewhere; alter table ${t} set schema elsewhere;
      alter table elsewhere.${t} rename to "Moved ${t}"`);
    await removeOutbox(client, table);
    expect(await leftovers(table.id)).toBe(0);
    await client.query(`insert into elsewhere."Moved ${t}" values (1)`);
    await removeOutbox(client, table);

    const [other, gone] = await make();
    await client.query(`drop table ${other}`);
    await removeOutbox(client, gone);
    expect(await leftovers(gone.id)).toBe(0);
  });

  it('has key columns of the base type, so that NULL fits into a mark', async () => {
    await client.query(
      `create domain code as varchar(5) not null check (value <> ''); create type "Mood" as enum ('a')`,
    );
    const [t, table] = await make('c code primary key, v int');
    await client.query(`insert into ${t} values ('x', 1); truncate ${t}`);
    expect((await drain(client, table)).map(({ kind }) => kind)).toEqual(['row', 'truncate']);
    const [u, second] = await make(
      'a "Mood", b bool, c numeric(5,1), d uuid, e date, f timestamptz, primary key (a, b, c, d, e, f)',
    );
    await client.query(`insert into ${u} values ('a', true, 1.5, '00000000-0000-0000-0000-000000000000', '2024-01-01',
      '2024-01-01 00:00:00+00'); truncate ${u}`);
    const [row] = await drain(client, second);
    expect(row?.key).toEqual([
      'a',
      true,
      '1.5',
      '00000000-0000-0000-0000-000000000000',
      '2024-01-01',
      '2024-01-01 00:00:00+00',
    ]);
    expect(row?.value).toMatchObject({ a: 'a', b: true, c: '1.5', e: '2024-01-01', _deleted: 1 });
  });
});
