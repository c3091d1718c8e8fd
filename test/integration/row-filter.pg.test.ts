import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { filterSql } from '../../src/domain/row-filter.js';
import type { ColumnOptions } from '../../src/domain/replicated-table.js';
import { inspectTable } from '../../src/source/catalog/inspect.js';
import { freshDatabase } from '../support/stack.js';
import { connectSource } from '../support/source-table.js';

const TABLE = { schema: 'shop', table: 'orders' };

describe('the row filter of a table that is added', async () => {
  const address = await freshDatabase('filter');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(`create schema pg2click; create schema shop; create schema other;
      create type shop.state as enum ('open', 'closed');
      create function other.large(int) returns boolean language sql immutable as 'select $1 > 100';
      create function other.differs(int, int) returns boolean language sql immutable as 'select $1 <> $2';
      create operator other.<<>> (leftarg = int, rightarg = int, function = other.differs);
      create table shop.orders (id bigint primary key, gone int, tenant_id int, test boolean, state shop.state, at timestamptz,
        day date, note text, "Cap.x" text, tags text[], data jsonb);
      alter table shop.orders drop gone;
      insert into shop.orders (id, tenant_id, test) select g, g % 10, g % 2 = 0 from generate_series(1, 1000) g;
      analyze shop.orders`);
  });
  afterAll(() => client.end());

  const inspect = (where: string, options: ColumnOptions = {}) => inspectTable(client, TABLE, { ...options, where });

  const TAKEN: readonly (readonly [string, string])[] = [
    ['tenant_id = 7 and not test', '(("tenant_id" = 7) AND (NOT "test"))'],
    ['test', '"test"'],
    ['orders.tenant_id = 7', '("tenant_id" = 7)'],
    [`state = 'open'`, `("state" = 'open'::shop.state)`],
    [`"Cap.x" like 'a\\_%' -- and a comment`, `("Cap.x" ~~ 'a\\_%'::text)`],
    ['tenant_id in (1, 2)', '("tenant_id" = ANY (ARRAY[1, 2]))'],
    [`at >= '2024-01-01'`, `("at" >= '2024-01-01 00:00:00+00'::timestamp with time zone)`],
    [`data ->> 'kind' is distinct from 'test'`, `(("data" ->> 'kind'::text) IS DISTINCT FROM 'test'::text)`],
    ['tenant_id = 1) or (tenant_id = 2', '(("tenant_id" = 1) OR ("tenant_id" = 2))'],
  ];
  it.each(TAKEN)('is read as PostgreSQL prints it: %s', async (where, printed) => {
    expect(filterSql(await inspect(where))).toBe(printed);
  });

  it('is judged at one moment, which its words for days mean for ever', async () => {
    const { rows } = await client.query<{ today: string }>(`select (now() at time zone 'UTC')::date::text as today`);
    expect(filterSql(await inspect(`day >= 'today'`))).toBe(`("day" >= '${rows[0]?.today}'::date)`);
  });

  it('may use columns that are left out, and says how many rows it means', async () => {
    const { where, estimatedRows, columns } = await inspect('tenant_id = 7', { excluded: ['tenant_id'] });
    expect(where).toMatchObject({ columns: [3], hidden: [{ name: 'tenant_id', position: 3, type: 'integer' }] });
    expect(filterSql({ columns, where })).toBe('("tenant_id" = 7)');
    expect(estimatedRows).toBeGreaterThan(50);
    expect(estimatedRows).toBeLessThan(200);
  });

  const REFUSED: readonly (readonly [string, string, RegExp])[] = [
    ['nothing', '  ', /row filter of shop\.orders is empty/u],
    ['no SQL', 'tenant_id = and', /is refused by PostgreSQL: syntax error at or near "and"/u],
    ['a column that is not there', 'tenant = 7', /is refused by PostgreSQL: column "tenant" does not exist/u],
    ['another table', 'other.orders.id = 7', /invalid reference to FROM-clause entry/u],
    ['no boolean', 'tenant_id + 1', /must be type boolean, not type integer/u],
    ['a parameter', 'tenant_id = $1', /there is no parameter \$1/u],
    ['no column', '1 = 1', /names no column of it/u],
    ['a subquery', 'id in (select 7)', /needs more than one row of the table alone/u],
    ['an aggregate', 'max(id) = 7', /needs more than one row/u],
    ['a window function', 'row_number() over (order by id) = 1', /needs more than one row/u],
    ['a set', 'unnest(tags) = $$a$$', /needs more than one row/u],
    ['a system column', `ctid = '(0,1)'`, /needs more than one row/u],
    ['the clock', 'at > now()', /may change its mind about a row that does not change/u],
    ['the day', 'day = current_date', /may change its mind/u],
    ['the user', 'note = current_user', /may change its mind/u],
    ['chance', 'random() < 0.5 and tenant_id = 7', /may change its mind/u],
    ['the time zone of the session', `at::date = '2024-01-01'`, /may change its mind/u],
    ['the text of an enum', `state::text = 'open'`, /may change its mind/u],
    ['a function of a user', 'other.large(tenant_id)', /uses function other\.large\(integer\), which may be changed/u],
    ['an operator of a user', 'tenant_id operator(other.<<>>) 7', /uses operator other\.<<>>\(integer,integer\)/u],
    ['a name of another table', `tenant_id = 'shop.orders'::regclass::oid::int`, /uses table shop\.orders/u],
    ['the whole row', 'orders is not null and tenant_id = 7', /uses the whole row/u],
    ['an end and a statement', 'test); drop table shop.orders; select (1', /multiple commands/u],
    ['an end and an open comment', 'test) /*', /unterminated \/\* comment/u],
    ['one parenthesis too many', 'test)', /syntax error/u],
    ['what stands for columns', `note = '"pg2click.column.3"' and test`, /names something of pg2click/u],
    ['too much', `tenant_id in (${'1, '.repeat(5_000)} 2)`, /more than 10000 characters/u],
    ['a constant that fails', 'tenant_id > 1 / 0', /is refused by PostgreSQL: division by zero/u],
  ];
  it.each(REFUSED)('is refused with one sentence: %s', async (_, where, message) => {
    await expect(inspect(where)).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: expect.stringMatching(message) as string,
      remedy: expect.stringMatching(/\.$/u) as string,
    });
  });

  it('leaves nothing behind, in a pool too', async () => {
    const pool = new pg.Pool({ ...address, max: 1 });
    try {
      await inspectTable(pool, TABLE, { where: 'tenant_id = 7' });
      await expect(inspectTable(pool, TABLE, { where: 'nope' })).rejects.toThrow(/does not exist/u);
      const { rows } = await pool.query(`select relname from pg_class where relname like 'pg2click%' and relkind <> 'S'
        union all select nspname from pg_namespace n join pg_class c on c.relnamespace = n.oid where nspname like 'pg_temp%'`);
      expect(rows).toEqual([]);
    } finally {
      await pool.end();
    }
  });

  it('is judged for a role that only reads, where it may make temporary tables: else the grant is named', async () => {
    const role = `reader_${address.database}`;
    await client.query(
      `create role ${role}; grant usage on schema shop to ${role}; grant select on shop.orders to ${role}`,
    );
    await client.query(`set role ${role}`);
    try {
      const reading = { where: 'tenant_id = 7', makes: 'nothing' } as const;
      expect(filterSql(await inspectTable(client, TABLE, reading))).toBe('("tenant_id" = 7)');
      await client.query(`reset role; revoke temporary on database ${address.database} from public; set role ${role}`);
      await expect(inspectTable(client, TABLE, reading)).rejects.toMatchObject({
        kind: 'Unauthorized',
        remedy: `grant temporary on database "${address.database}" to "${role}". Once the table is added it can be revoked.`,
      });
    } finally {
      await client.query(`reset role; drop owned by ${role}; drop role ${role}`);
    }
  });
});
