import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ColumnOptions } from '../../src/domain/replicated-table.js';
import { inspectTable } from '../../src/source/catalog/inspect.js';
import { freshDatabase } from '../support/stack.js';
import { connectSource } from '../support/source-table.js';

/** What a user may choose for a column, and what is refused with one sentence. */
describe('the columns of a table that is added', async () => {
  const address = await freshDatabase('columns');
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(`create schema pg2click; create table t (id bigint primary key, qty int, amount numeric, price numeric(10,2),
      until date, at timestamptz, local timestamp, note text, "Capital" text)`);
  });
  afterAll(() => client.end());

  const inspect = (options: ColumnOptions) => inspectTable(client, { schema: 'public', table: 't' }, options);
  const chosen = async (options: ColumnOptions) =>
    (await inspect(options)).columns
      .filter(({ clickhouse, policy }) => clickhouse !== undefined || policy !== undefined)
      .map(({ name, clickhouse, policy }) => [name, clickhouse, policy]);

  it('have the types and policies that are chosen', async () => {
    expect(
      await chosen({
        types: {
          qty: 'Int64',
          amount: 'Decimal(18, 4)',
          price: 'Decimal(12, 2)',
          note: 'LowCardinality(String)',
          id: 'String',
        },
        policies: { amount: 'refuse', until: 'null', at: 'clamp' },
      }),
    ).toEqual([
      ['id', 'String', undefined],
      ['qty', 'Int64', undefined],
      ['amount', 'Decimal(18, 4)', 'refuse'],
      ['price', 'Decimal(12, 2)', undefined],
      ['until', undefined, 'null'],
      ['at', undefined, 'clamp'],
      ['note', 'LowCardinality(String)', undefined],
    ]);
  });

  it('have the one policy that is chosen for all, where it says something', async () => {
    const policied = (columns: unknown[]) => columns.map((column) => (column as string[])[0]);
    expect(policied(await chosen({ policy: 'null' }))).toEqual(['price', 'until', 'at', 'local']);
    // Nothing is near NaN.
    expect(policied(await chosen({ policy: 'clamp' }))).toEqual(['until', 'at', 'local']);
  });

  it('may be left out, and are known by their numbers', async () => {
    const { columns, excluded } = await inspect({ excluded: ['note', 'Capital'] });
    expect(columns.map(({ name }) => name)).toEqual(['id', 'qty', 'amount', 'price', 'until', 'at', 'local']);
    expect(excluded).toEqual([
      { name: 'note', position: 8 },
      { name: 'Capital', position: 9 },
    ]);
  });

  it('may have other names in ClickHouse, those of the key too', async () => {
    const { columns, key } = await inspect({
      renamed: { id: 'number', qty: 'note', note: 'qty', Capital: 'gone', price: 'price' },
      excluded: ['until'],
      policies: { at: 'clamp' },
    });
    expect(key).toEqual(['id']);
    expect(columns.flatMap(({ name, shown }) => (shown === undefined ? [] : [[name, shown]]))).toEqual([
      ['id', 'number'],
      ['qty', 'note'],
      ['note', 'qty'],
      ['Capital', 'gone'],
    ]);
  });

  it('of a name that is reserved there get in under another one', async () => {
    await client.query('create table reserved (id int primary key, _version int, note text, "note.size" int)');
    const renamed = { _version: 'version', 'note.size': 'note_size' };
    const name = { schema: 'public', table: 'reserved' };
    await expect(inspectTable(client, name)).rejects.toMatchObject({
      remedy: expect.stringContaining('--rename-column _version=NAME') as string,
    });
    const { columns } = await inspectTable(client, name, { renamed });
    const known = (await inspectTable(client, name, { known: { columns } })).columns;
    expect(known.map(({ shown }) => shown)).toEqual([undefined, 'version', undefined, 'note_size']);
  });

  const REFUSED: readonly (readonly [string, ColumnOptions, RegExp])[] = [
    ['no such column', { types: { nope: 'String' } }, /public\.t has no column "nope"/u],
    ['no such column to leave out', { excluded: ['capital'] }, /has no column "capital"/u],
    ['the key left out', { excluded: ['id'] }, /Column id of public\.t cannot be left out: it is in the key/u],
    ['a type of other values', { types: { note: 'Int64' } }, /a text, cannot be stored in Int64 exactly/u],
    ['a type that rounds', { types: { amount: 'Float64' } }, /a numeric, cannot be stored in Float64 exactly/u],
    ['a zone with two hours in one', { types: { local: `DateTime64(6, 'Europe/Berlin')` } }, /cannot be stored/u],
    ['Nullable', { types: { qty: 'Nullable(Int64)' } }, /whether it is Nullable follows from the source/u],
    [
      'a narrower integer without a policy',
      { types: { qty: 'Int16' } },
      /Int16 has no place for some values of column qty/u,
    ],
    [
      'a decimal of fewer digits',
      { types: { price: 'Decimal(8, 2)' } },
      /has no place for some values of column price/u,
    ],
    [
      'a policy that says nothing',
      { policies: { note: 'clamp' } },
      /Every value of column note of public\.t, a text, has its exact place/u,
    ],
    ['a policy without a nearest value', { policies: { price: 'clamp' } }, /No value of Decimal\(10, 2\) is near/u],
    [
      'a key that could become another',
      { types: { id: 'Int32' }, policies: { id: 'clamp' } },
      /two keys could become one/u,
    ],
    ['a name for no column', { renamed: { nope: 'x' } }, /public\.t has no column "nope"/u],
    [
      'a name for one left out',
      { renamed: { note: 'x' }, excluded: ['note'] },
      /Column note of public\.t is left out/u,
    ],
    [
      'one name for two',
      { renamed: { note: 'x', qty: 'x' } },
      /Columns qty and note of public\.t would both be called x/u,
    ],
    [
      'the name of another one',
      { renamed: { qty: 'note' } },
      /Columns qty and note of public\.t would both be called note/u,
    ],
    [
      'a reserved name',
      { renamed: { qty: '_version' } },
      /Column qty of public\.t cannot be called _version: that name is reserved/u,
    ],
    ['a part of another one', { renamed: { qty: 'note.size' } }, /cannot be called note\.size: for ClickHouse/u],
    ['no name', { renamed: { qty: '' } }, /Column qty of public\.t needs a name/u],
    ['a type and a text', { types: { at: `DateTime('UTC')` }, policies: { at: 'text' } }, /its policy is text/u],
  ];
  it.each(REFUSED)('are refused: %s', async (_, options, message) => {
    await expect(inspect(options)).rejects.toMatchObject({ message: expect.stringMatching(message) as string });
  });
});
