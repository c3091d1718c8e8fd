import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ColumnOptions } from '../../src/domain/replicated-table.js';
import { findOutside } from '../../src/source/catalog/find-outside.js';
import { inspectTable } from '../../src/source/catalog/inspect.js';
import { freshDatabase } from '../support/stack.js';
import { connectSource } from '../support/source-table.js';

/** Before the first row is copied, `add` says which columns have values that would be refused. */
describe('values without a place in ClickHouse', async () => {
  const address = await freshDatabase('outside');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(`create schema pg2click; create domain day as date`);
  });
  afterAll(() => client.end());

  const find = async (table: string, options: ColumnOptions = {}): Promise<string[]> => {
    const name = { schema: 'public', table };
    return (await findOutside(client, { name, ...(await inspectTable(client, name, options)) })).map(
      (each) => each.name,
    );
  };

  it('are found in a small table by reading it', async () => {
    await client.query(`create table small (id int primary key, "Until" date, at timestamptz, local timestamp, birth day, price numeric(10,2), note text);
      insert into small values (1, '9999-12-31', '2024-01-01', '2024-01-01', '0044-03-15 BC', 'NaN', 'x'), (2, null, null, null, null, 1, null)`);
    expect(await find('small')).toEqual(['Until', 'birth', 'price']);
    expect(await find('small', { policies: { Until: 'null', birth: 'text' } })).toEqual(['price']);
    expect(await find('small', { policy: 'null' })).toEqual([]);
    // One that was chosen is said too.
    expect(await find('small', { policies: { price: 'refuse' } })).toEqual(['Until', 'birth', 'price']);
  });

  it('are found in a large table by the statistics of PostgreSQL', async () => {
    await client.query(`create table large (id int primary key, until date, at timestamptz, price numeric(10,2), pad text);
      alter table large alter pad set storage plain;
      insert into large select g, case when g % 3 = 0 then date '9999-12-31' else date '2024-01-01' end, now(), g, repeat('x', 1900)
        from generate_series(1, 18000) g;
      update large set at = 'infinity' where id = 5; analyze large`);
    const { rows } = await client.query<{ size: string }>(`select pg_relation_size('large')::text as size`);
    expect(Number(rows[0]?.size)).toBeGreaterThan(32 * 1024 * 1024);
    expect(await find('large')).toContain('until');
    expect(await find('large')).not.toContain('price');
  });
});
