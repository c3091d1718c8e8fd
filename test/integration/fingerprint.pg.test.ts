import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { explainFingerprint } from '../../src/source/catalog/fingerprint-difference.js';
import { fingerprintTable } from '../../src/source/catalog/fingerprint.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { connectSource, replicate } from '../support/source-table.js';

/** What no event announces, and what only looks like it. */
describe('the fingerprint of a source', async () => {
  const address = await freshDatabase('fingerprint');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(`create collation ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`);
  });
  afterAll(() => client.end());

  const make = async (): Promise<[string, ReplicatedTable]> => {
    const table = freshName('t');
    await client.query(`create type ${table}_mood as enum ('fine', 'sad');
      create table ${table} (id int primary key, v text, w varchar(5), m ${table}_mood not null default 'fine', g int generated always as (41) stored);
      insert into ${table} select i, 'a', 'b' from generate_series(1, 100) i`);
    return [table, await replicate(client, { schema: 'public', table })];
  };
  const run = async (table: string, replica: ReplicatedTable, statements: string): Promise<void> => {
    // Each by itself: VACUUM takes no company.
    for (const statement of statements.replaceAll('TABLE', table).replaceAll('ID', replica.id).split(';'))
      await client.query(statement);
  };

  const HARMLESS: readonly string[] = [
    'vacuum full TABLE',
    'truncate TABLE',
    'analyze TABLE',
    'cluster TABLE using TABLE_pkey',
    'reindex table concurrently TABLE',
    'alter table TABLE alter v set statistics 500',
    'alter table TABLE alter v set not null',
    'alter table TABLE alter v set default 5',
    'alter table TABLE alter w type varchar(50)',
    'alter table TABLE alter w type varchar',
    'create index on TABLE (v)',
    'grant select (v) on TABLE to public',
    `alter type TABLE_mood add value 'calm' before 'sad'`,
    `update TABLE set v = 'c'`,
    'vacuum freeze pg_trigger',
    'vacuum full pg_trigger',
    'alter table TABLE enable trigger pg2click_ID_insert',
    'alter table TABLE enable replica trigger pg2click_ID_inserted',
    'vacuum full pg2click.outbox_ID',
  ];
  it.each(['vacuum full TABLE', 'cluster TABLE using TABLE_pkey'])(
    'does not mind, with a default that rows of before have: %s',
    async (statement) => {
      const [table, replica] = await make();
      await run(table, replica, 'alter table TABLE add column d int default 5');
      const before = await fingerprintTable(client, replica);
      await run(table, replica, statement);
      expect(explainFingerprint(before, await fingerprintTable(client, replica))).toBe('');
    },
  );

  it('minds a column with such a default whose values were changed', async () => {
    const [table, replica] = await make();
    await run(table, replica, 'alter table TABLE add column d int default 5');
    const before = await fingerprintTable(client, replica);
    await run(table, replica, 'alter table TABLE alter d type int using d + 1');
    expect(explainFingerprint(before, await fingerprintTable(client, replica))).toContain('column d');
  });

  it('does not mind the labels of a column that is left out', async () => {
    const [table, replica] = await make();
    const excluded = [{ name: 'm', position: 4 }];
    const before = await fingerprintTable(client, { ...replica, excluded });
    await run(table, replica, `alter type TABLE_mood rename value 'sad' to 'glum'`);
    const after = await fingerprintTable(client, { ...replica, excluded });
    expect(explainFingerprint(before, after, excluded)).toBe('');
  });

  for (const statement of HARMLESS) {
    it(`does not mind: ${statement}`, async () => {
      const [table, replica] = await make();
      const before = await fingerprintTable(client, replica);
      await run(table, replica, statement);
      expect(explainFingerprint(before, await fingerprintTable(client, replica))).toBe('');
    });
  }

  const HARMFUL: readonly (readonly [string, RegExp])[] = [
    [`alter table TABLE alter v type text using upper(v)`, /values of column v/u],
    ['alter table TABLE alter v type varchar(9)', /type of column v .* from text to character varying\(9\)/u],
    ['alter table TABLE alter w type varchar(3)', /type of column w/u],
    ['alter table TABLE alter id type bigint', /type of column id/u],
    ['alter table TABLE alter v type text collate ci', /collation of column v/u],
    ['alter table TABLE alter m drop not null', /column m may be NULL/u],
    ['alter table TABLE alter g set expression as (42)', /generated in another way/u],
    ['alter table TABLE add x int default 5', /column x was added/u],
    ['alter table TABLE drop v', /column v was dropped/u],
    ['alter table TABLE rename v to y', /renamed to y/u],
    ['alter table TABLE rename to TABLE_new', /renamed from/u],
    ['alter table TABLE set unlogged', /logged or unlogged/u],
    [`alter type TABLE_mood rename value 'sad' to 'glum'`, /label sad was renamed to glum/u],
    ['alter table TABLE disable trigger user', /was disabled/u],
    [
      'alter table TABLE disable trigger user; alter table TABLE enable trigger user',
      /pg2click_\d+_updated was disabled, or fires in other sessions/u,
    ],
    [
      'alter table TABLE disable trigger pg2click_ID_update; alter table TABLE enable trigger pg2click_ID_update',
      /trigger pg2click_\d+_update was off/u,
    ],
    ['drop trigger pg2click_ID_delete on TABLE', /pg2click_\d+_delete was dropped/u],
    ['alter table TABLE drop constraint TABLE_pkey', /no suitable unique index/u],
    ['alter table TABLE drop constraint TABLE_pkey; alter table TABLE add primary key (id) deferrable', /no suitable/u],
    ['create table TABLE_child () inherits (TABLE)', /inherits/u],
    ['alter sequence pg2click.outbox_ID_seq_seq cache 10', /sequence/u],
    ['drop table pg2click.outbox_ID', /its outbox was dropped, and its triggers refuse every write/u],
  ];
  for (const [statement, message] of HARMFUL) {
    it(`tells of: ${statement}`, async () => {
      const [table, replica] = await make();
      const before = await fingerprintTable(client, replica);
      expect(await fingerprintTable(client, replica)).toBe(before);
      await run(table, replica, statement);
      expect(explainFingerprint(before, await fingerprintTable(client, replica))).toMatch(message);
    });
  }

  it('cannot be taken of a table that was dropped, also when another has its name', async () => {
    const [table, replica] = await make();
    await client.query(`drop table ${table}; create table ${table} (id int primary key)`);
    await expect(fingerprintTable(client, replica)).rejects.toMatchObject({ kind: 'MissingTable' });
  });
});
