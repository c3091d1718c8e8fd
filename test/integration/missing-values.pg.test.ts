import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readColumns } from '../../src/source/catalog/catalog.js';
import { findMissingValues } from '../../src/source/catalog/missing-values.js';
import type { FoundColumn } from '../../src/source/catalog/shape-difference.js';
import { BEGIN_SNAPSHOT } from '../../src/source/session.js';
import { inTransaction } from '../../src/source/transaction.js';
import { connectSource } from '../support/source-table.js';
import { freshDatabase } from '../support/stack.js';

let client: pg.Client;
beforeAll(async () => {
  client = await connectSource(await freshDatabase('missing_values'));
});
afterAll(() => client.end());

/** The column that a table with one row gets by `add column added <definition>`. */
async function added(definition: string): Promise<FoundColumn | undefined> {
  await client.query(/* sql */ `drop table if exists grown; create table grown (id int primary key);
    insert into grown values (1); alter table grown add column added ${definition}`);
  const found = await client.query<{ oid: string }>(`select 'grown'::regclass::oid::text as oid`);
  const relation = found.rows[0]?.oid ?? '';
  const columns = (await readColumns(client, relation)).filter(({ name }) => name === 'added');
  return inTransaction(client, BEGIN_SNAPSHOT, async () => (await findMissingValues(client, relation, columns))[0]);
}

describe('the value of rows that were there before their column', () => {
  it.each([
    ['integer default 5', '5'],
    [`text default E'a\\tb\\\\c'`, 'a\\tb\\\\c'],
    [`text default ''`, ''],
    [`text[] default '{a,"b,c"}'`, '{a,"b,c"}'],
    [`jsonb default '{}'`, '{}'],
    [`json default '{"a": "b"}'`, '{"a": "b"}'],
    [`jsonb default '"text"'`, '"text"'],
    [`box default '((1,1),(0,0))'`, '(1,1),(0,0)'],
    [`box[] default '{(1,1),(0,0)}'`, '{(1,1),(0,0)}'],
    [`timestamptz default '2026-01-02 03:04:05+00'`, '2026-01-02 03:04:05+00'],
    [`varchar(3) default 'abc'`, 'abc'],
  ])('is printed as COPY prints it: %s', async (definition, missing) => {
    expect((await added(definition))?.missing).toBe(missing);
  });

  it.each([`date default '9999-12-31'`, `timestamptz default 'infinity'`, `numeric(10,2) default 'NaN'`])(
    'has no place in ClickHouse: %s',
    async (definition) => {
      const column = await added(definition);
      expect(column?.missing).toBeUndefined();
      expect(column?.placeless).toEqual(expect.any(String));
    },
  );
});
