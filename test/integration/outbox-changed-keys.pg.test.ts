import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { OutboxBatch } from '../../src/domain/batch.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { explainFingerprint } from '../../src/source/catalog/fingerprint-difference.js';
import { fingerprintTable } from '../../src/source/catalog/fingerprint.js';
import { migrateLedger } from '../../src/ledger/migrate.js';
import { refreshCapture } from '../../src/source/outbox/refresh.js';
import { verifyUnchanged } from '../../src/source/catalog/verify-unchanged.js';
import { renewCaptures } from '../../src/source/renew-captures.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { connectSource, drain, nameBatch, readAll, replicate } from '../support/source-table.js';

/** What becomes of events whose keys the typed columns of the outbox could not take. */
describe('a table whose key was changed', async () => {
  const address = await freshDatabase('keys');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
  });
  afterAll(() => client.end());

  const make = async (columns: string): Promise<[string, ReplicatedTable]> => {
    const table = freshName('t');
    await client.query(`create table ${table} (${columns})`);
    return [table, await replicate(client, { schema: 'public', table })];
  };
  const looseEvents = async ({ id }: ReplicatedTable): Promise<number> =>
    (await client.query(`select from pg2click.outbox_${id} where loose is not null`)).rowCount ?? -1;
  const refuse = async (table: ReplicatedTable): Promise<unknown> => {
    const own = await connectSource(address);
    try {
      await readAll(own, table, (await nameBatch(client, table)) as OutboxBatch);
    } catch (error) {
      return error;
    } finally {
      await own.end();
    }
    throw new Error('nothing was refused');
  };

  it.each([
    ['int', `'1'`, `'-7'`],
    ['numeric(10,2)', `'1.50'`, `'-0.10'`],
    ['text', `'a'`, `'"\\tab'`],
    ['varchar(9)', `'a'`, `' b '`],
    ['uuid', 'gen_random_uuid()', 'gen_random_uuid()'],
    ['date', `'2001-02-03'`, `'1999-12-31'`],
    ['timestamp', `'2001-02-03 04:05:06.7'`, `'1999-12-31'`],
    ['timestamptz', `'2001-02-03 04:05:06.7+09'`, `'1999-12-31 00:00:00+00'`],
    ['boolean', 'true', 'false'],
    ['keys_mood', `'fi"ne'`, `'sad'`],
  ])('goes on where its index of type %s was built anew: keys as text find their rows', async (type, one, two) => {
    if (type === 'keys_mood') await client.query(`create type keys_mood as enum ('fi"ne', 'sad')`);
    const [t, table] = await make(`id ${type} primary key, v int`);
    await client.query(`insert into ${t} values (${one}, 1)`);
    const [typed] = await drain(client, table);
    await client.query(`alter table ${t} drop constraint ${t}_pkey; alter table ${t} add primary key (id)`);
    await client.query(`set datestyle = 'German, DMY'; set timezone = 'Asia/Tokyo'`);
    await client.query(`update ${t} set v = 2; insert into ${t} values (${two}, 3); delete from ${t} where v = 3`);
    await client.query(`set datestyle = 'ISO'; set timezone = 'UTC'`);
    expect(await looseEvents(table)).toBe(3);
    const [changed, gone] = await drain(client, table);
    expect(changed?.key).toEqual(typed?.key);
    expect(changed?.value).toMatchObject({ id: typed?.value['id'], v: 2, _deleted: 0 });
    expect(gone?.value).toMatchObject({ _deleted: 1 });
  });

  it('reads typed keys and text images of one row as one key', async () => {
    const [t, table] = await make('a int, b text, v int, primary key (a, b)');
    await client.query(`insert into ${t} values (1, 'x', 1)`);
    await client.query(`alter table ${t} drop constraint ${t}_pkey; alter table ${t} add primary key (a, b)`);
    await client.query(`update ${t} set v = 2`);
    expect((await drain(client, table)).map(({ key, value }) => [key, value['v']])).toEqual([[[1, 'x'], 2]]);
  });

  const CHANGES: readonly (readonly [string, string, string, RegExp])[] = [
    [
      'id int primary key, v int',
      'alter table T drop id',
      'insert into T values (2)',
      /the key column id was dropped/u,
    ],
    [
      'id int primary key, v int',
      'begin; alter table T drop id; alter table T add id int generated always as identity primary key; commit',
      'insert into T (v) values (2)',
      /the key column id was dropped/u,
    ],
    [
      'id int primary key, v int',
      'alter table T rename id to number',
      'insert into T values (2, 2)',
      /the key column id was renamed to number/u,
    ],
    [
      'id int primary key, v int',
      'alter table T rename id to x; alter table T rename v to id; alter table T rename x to v',
      'insert into T values (2, 2)',
      /the key column id was renamed to v; the column v was renamed to id/u,
    ],
    [
      'id int primary key, v int',
      'alter table T alter id type bigint',
      'insert into T values (3000000000, 2)',
      /the key column id was changed from integer to bigint/u,
    ],
    [
      'id uuid primary key, v int',
      'alter table T alter id type text',
      `insert into T values ('no uuid', 2)`,
      /the key column id was changed from uuid to text/u,
    ],
    [
      'id int primary key, v int not null',
      'alter table T alter v drop not null',
      'insert into T values (2)',
      /column v may be NULL/u,
    ],
  ];
  it.each(CHANGES)('of %s by %s says what happened', async (columns, alter, insert, message) => {
    const [t, table] = await make(columns);
    for (const statement of alter.replaceAll(/\bT\b/gu, t).split('; ')) await client.query(statement);
    await client.query(insert.replace(/\bT\b/u, t));
    const failure = await refuse(table);
    expect(failure).toMatchObject({
      kind: 'SourceChanged',
      message: expect.stringMatching(message) as string,
      remedy: expect.stringContaining('--drop-target') as string,
    });
    expect((failure as Error).message).not.toContain('pg.dropped');
  });

  it('is another table, and says so, when it was swapped', async () => {
    const [t, table] = await make('id int primary key');
    await client.query(`insert into ${t} values (1)`);
    await client.query(`alter table ${t} rename to ${t}_old; create table ${t} (id int primary key)`);
    expect(await refuse(table)).toMatchObject({
      kind: 'MissingTable',
      message: `public.${t} is another table now than the one that was added, which is public.${t}_old now.`,
      remedy: expect.stringMatching(/give public\.\S+_old its name back/u) as string,
    });
    await client.query(`drop table ${t}_old`);
    expect(await refuse(table)).toMatchObject({ message: expect.stringMatching(/which was dropped\.$/u) as string });
    await client.query(`drop table ${t}`);
    expect(await refuse(table)).toMatchObject({
      kind: 'MissingTable',
      remedy: expect.stringMatching(/add it again/u) as string,
    });
  });

  it('names row-level security where it was switched on', async () => {
    const [t, table] = await make('id int primary key');
    await client.query(`insert into ${t} values (1)`);
    const role = freshName('blind');
    await client.query(`create role ${role}; grant select on ${t} to ${role}; grant usage on schema pg2click to ${role};
      grant select on pg2click.outbox_${table.id} to ${role}; alter table ${t} enable row level security`);
    const blind = await connectSource(address);
    await blind.query(`set role ${role}`);
    await expect(readAll(blind, table, (await nameBatch(client, table)) as OutboxBatch)).rejects.toMatchObject({
      kind: 'Unauthorized',
      message: expect.stringContaining('Row-level security') as string,
      remedy: expect.stringContaining('alter role NAME bypassrls') as string,
    });
    await blind.end();
    await client.query(`drop owned by ${role}; drop role ${role}`);
  });
});

/** What an earlier version made, and what of it is renewed. */
describe('the trigger functions of a table', async () => {
  const address = await freshDatabase('renewed');
  let client: pg.Client;
  let writer: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    writer = await connectSource(address);
  });
  afterAll(() => Promise.all([client.end(), writer.end()]));

  /** As the first version did: no columns `shape` and `loose`, and functions that name the key. */
  const makeOld = async (): Promise<[string, ReplicatedTable]> => {
    const t = freshName('t');
    await client.query(`create table ${t} (id int primary key, v text)`);
    const table = await replicate(client, { schema: 'public', table: t });
    await client.query(`alter table pg2click.outbox_${table.id} drop shape, drop loose`);
    const bodies = {
      insert: 'select changed.id from pg2click_new changed',
      update: 'select changed.id from pg2click_old changed union select changed.id from pg2click_new changed',
      delete: 'select changed.id from pg2click_old changed',
    };
    for (const [event, rows] of Object.entries(bodies))
      await client.query(`create or replace function pg2click.capture_${table.id}_${event}() returns trigger
        language plpgsql security definer set search_path = pg_catalog, pg_temp as $$ begin
          insert into pg2click.outbox_${table.id} (k1) ${rows}; return null; end $$`);
    await client.query(`create or replace function pg2click.capture_${table.id}_truncate() returns trigger
      language plpgsql security definer set search_path = pg_catalog, pg_temp as $$ begin
        insert into pg2click.outbox_${table.id} (mark) values ('t'); return null; end $$`);
    return [t, { ...table, fingerprint: await fingerprintTable(client, table) }];
  };
  const register = async (t: string, old: ReplicatedTable): Promise<void> => {
    const { columns, key, route } = old;
    await client.query(`delete from pg2click.replicated_table`);
    await client.query(
      /* sql */ `insert into pg2click.replicated_table
        (id, pipeline, schema_name, table_name, relation, generation, definition, fingerprint, ready)
        overriding system value values ($1, 'test', 'public', $2, $3, 1, $4, $5, true)`,
      [old.id, t, old.relation, JSON.stringify({ columns, key, route }), old.fingerprint],
    );
  };
  const refresh = async (table: ReplicatedTable): Promise<ReplicatedTable> => {
    let saved = table.fingerprint;
    const fingerprint = await refreshCapture(
      client,
      { ...table, triggerLevel: 'statement', appliedRows: false, isTree: false },
      (text) => Promise.resolve(void (saved = text)),
    );
    expect(saved).toBe(fingerprint);
    return { ...table, fingerprint };
  };

  it('of an earlier version are renewed beside an open transaction of a writer, and no write fails after that', async () => {
    const [t, old] = await makeOld();
    await writer.query(`begin; insert into ${t} values (1, 'a')`);
    const table = await refresh(old);
    expect(explainFingerprint(table.fingerprint, await fingerprintTable(client, table))).toBe('');
    expect(explainFingerprint(old.fingerprint, await fingerprintTable(client, table))).toMatch(
      /another one for a while/u,
    );
    await writer.query(`update ${t} set v = 'b'; commit`);
    await writer.query(`insert into ${t} values (2, 'c'); delete from ${t} where id = 2`);
    expect((await drain(client, table)).map(({ key, value }) => [key, value['_deleted']])).toEqual([
      [[1], 0],
      [[2], 1],
    ]);
    await client.query(`truncate ${t}`);
    expect((await drain(client, table)).map(({ kind }) => kind)).toEqual(['truncate']);

    await client.query(`alter table ${t} alter id type bigint`);
    await writer.query(`insert into ${t} values (3000000000, 'd'); update ${t} set v = 'e' where id = 5`);
    const marks = await client.query(`select from pg2click.outbox_${table.id} where mark = 'x'`);
    expect(marks.rowCount).toBe(1);
    const own = await connectSource(address);
    await expect(readAll(own, table, (await nameBatch(client, table)) as OutboxBatch)).rejects.toMatchObject({
      kind: 'SourceChanged',
      message: expect.stringMatching(/the key column id was changed from integer to bigint/u) as string,
    });
    await own.end();
  });

  it('are renewed when the index was built anew, so that keys are typed again; else they stay', async () => {
    const t = freshName('t');
    await client.query(`create table ${t} (id int primary key, v text)`);
    const added = await replicate(client, { schema: 'public', table: t });
    const table = { ...added, fingerprint: await fingerprintTable(client, added) };
    expect((await refresh(table)).fingerprint).toBe(table.fingerprint);
    await client.query(`alter table ${t} drop constraint ${t}_pkey; alter table ${t} add primary key (id)`);
    await client.query(`insert into ${t} values (1, 'a')`);
    const now = await refresh(table);
    expect(explainFingerprint(now.fingerprint, await fingerprintTable(client, now))).toBe('');
    await client.query(`insert into ${t} values (2, 'a')`);
    const events = await client.query(`select k1, loose from pg2click.outbox_${table.id} order by seq`);
    expect(events.rows).toEqual([
      { k1: null, loose: ['1'] },
      { k1: 2, loose: null },
    ]);
  });

  it('of an earlier version are renewed by init too, where the table is paused and nobody drains it', async () => {
    const [t, old] = await makeOld();
    await migrateLedger(client);
    await register(t, old);
    await client.query(`alter table ${t} rename id to number`);
    const write = () => writer.query(`insert into ${t} values (1, 'a')`);
    await expect(write()).rejects.toMatchObject({ code: '42703' });
    const databases = { source: client, ledger: client };
    expect(await renewCaptures(databases, 'test')).toEqual({ renewed: [`public.${t}`], failed: [] });
    await write();
    expect(await renewCaptures(databases, 'test')).toEqual({ renewed: [], failed: [] });
  });

  it('that were renewed elsewhere since a slice began are no change of the table', async () => {
    const [t, old] = await makeOld();
    await migrateLedger(client);
    await register(t, old);
    // Of its own: one of the two waits for the other, which asks the ledger meanwhile.
    const ledger = await connectSource(address);
    const databases = { source: client, ledger };
    await expect(verifyUnchanged(databases, old)).resolves.toBe(old.fingerprint);
    const both = [client, writer].map(async (source) => renewCaptures({ ...databases, source }, 'test'));
    const renewed = (await Promise.all(both)).flatMap((each) => each.renewed);
    expect(renewed).toEqual([`public.${t}`]);
    await expect(verifyUnchanged(databases, old)).resolves.not.toBe(old.fingerprint);
    await client.query(`alter table ${t} disable trigger pg2click_${old.id}_update`);
    await expect(verifyUnchanged(databases, old)).rejects.toMatchObject({ kind: 'SourceChanged' });
    await ledger.end();
  });

  it('that are renewed hide no other difference', async () => {
    const [t, old] = await makeOld();
    await client.query(`alter table ${t} disable trigger pg2click_${old.id}_update`);
    const table = await refresh(old);
    expect(explainFingerprint(table.fingerprint, await fingerprintTable(client, table))).toMatch(/was disabled/u);
  });
});
