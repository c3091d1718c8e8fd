import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Policy, ReplicatedTable } from '../../src/domain/replicated-table.js';
import { bring, makeTarget, OUTBOX_ROADS, ROADS } from '../support/roads.js';
import { openSink, rowsOf } from '../support/sink.js';
import { connectSource, replicate } from '../support/source-table.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { normal, OUTSIDE } from '../support/type-values.js';

/** PostgreSQL type, ClickHouse type (`-` for its own), policy, values, and what ClickHouse has of them; `refused` for each alone. */
type Case = readonly [string, string, Policy | undefined, readonly string[], readonly (string | null)[] | 'refused'];

const WITHOUT_PLACE: readonly Case[] = Object.entries(OUTSIDE).flatMap(([type, values]): Case[] => [
  [type, '-', 'null', values, values.map(() => null)],
]);

const CASES: readonly Case[] = [
  ...WITHOUT_PLACE,
  ['date', '-', 'text', OUTSIDE['date'] ?? [], OUTSIDE['date'] ?? []],
  [
    'date',
    '-',
    'clamp',
    ['1899-12-31', 'infinity', '-infinity', '0044-03-15 BC', '2024-02-29'],
    ['1900-01-01', '2299-12-31', '1900-01-01', '1900-01-01', '2024-02-29'],
  ],
  ['date', 'Date', 'clamp', ['1969-12-31', '9999-12-31', '2149-06-06'], ['1970-01-01', '2149-06-06', '2149-06-06']],
  [
    'timestamp',
    '-',
    'text',
    ['9999-12-31 00:00:00', '0044-03-15 10:00:00 BC', 'infinity'],
    ['9999-12-31 00:00:00', '0044-03-15 10:00:00 BC', 'infinity'],
  ],
  [
    'timestamp',
    '-',
    'clamp',
    ['9999-12-31', '-infinity', '2024-01-01 00:00:00.000001'],
    ['2299-12-31 23:59:59.999999', '1900-01-01 00:00:00', '2024-01-01 00:00:00.000001'],
  ],
  [
    'timestamptz',
    '-',
    'clamp',
    ['infinity', '1800-01-01 00:00:00+00'],
    ['2299-12-31 23:59:59.999999', '1900-01-01 00:00:00'],
  ],
  ['timestamptz', '-', 'text', ['infinity', '9999-12-31 02:00:00+02'], ['infinity', '9999-12-31 00:00:00+00']],
  [
    'timestamp',
    `DateTime64(3, 'UTC')`,
    'null',
    ['2024-01-01 00:00:00.123', '2024-01-01 00:00:00.123456'],
    ['2024-01-01 00:00:00.123', null],
  ],
  [
    'timestamp',
    `DateTime64(3, 'UTC')`,
    'clamp',
    ['2024-01-01 00:00:00.123456', '2299-12-31 23:59:59.9999'],
    ['2024-01-01 00:00:00.123', '2299-12-31 23:59:59.999'],
  ],
  [
    'timestamptz',
    `DateTime('UTC')`,
    'clamp',
    ['2024-01-01 00:00:01+00', '1900-01-01', '2200-01-01'],
    ['2024-01-01 00:00:01', '1970-01-01 00:00:00', '2106-02-07 06:28:15'],
  ],
  ['timestamptz', `DateTime64(6, 'Asia/Kolkata')`, undefined, ['2024-01-01 00:00:00+00'], ['2024-01-01 05:30:00']],
  ['numeric(10,2)', '-', 'text', ['NaN', '1.50'], ['NaN', '1.5']],
  [
    'numeric',
    'Decimal(10, 2)',
    'null',
    ['1.50', '1.239', 'NaN', '1e8', 'Infinity', '-99999999.99'],
    ['1.5', null, null, null, null, '-99999999.99'],
  ],
  ['numeric', 'Decimal(10, 2)', 'clamp', ['1.239', '1e30', '-Infinity'], ['1.24', '99999999.99', '-99999999.99']],
  ['numeric', 'Decimal(10, 2)', 'clamp', ['NaN'], 'refused'],
  ['numeric', 'Decimal(10, 2)', 'refuse', ['1.239', 'NaN', '1e8'], 'refused'],
  [
    'numeric',
    'Int64',
    'null',
    ['2.00', '1.5', '1e30', '-9223372036854775808'],
    ['2', null, null, '-9223372036854775808'],
  ],
  ['numeric', 'UInt256', 'clamp', ['-1', '1e100', '1.5'], ['0', String(2n ** 256n - 1n), '2']],
  ['numeric(10,2)', 'Decimal(12, 3)', undefined, ['99999999.99'], ['99999999.99']],
  ['integer', 'Int64', undefined, ['-2147483648'], ['-2147483648']],
  ['integer', 'Int128', undefined, ['-5'], ['-5']],
  ['integer', 'Int16', 'null', ['70000', '-5', '-70000'], [null, '-5', null]],
  ['integer', 'UInt8', 'clamp', ['70000', '-5', '7'], ['255', '0', '7']],
  ['integer', 'Int16', 'refuse', ['70000', '-70000'], 'refused'],
  ['bigint', 'Decimal(19, 0)', undefined, ['9223372036854775807'], ['9223372036854775807']],
  ['bigint', 'Decimal(5, 0)', 'refuse', ['100000'], 'refused'],
  ['oid', 'UInt64', undefined, ['4294967295'], ['4294967295']],
  ['boolean', 'UInt8', undefined, ['true', 'false'], ['1', '0']],
  ['boolean', 'String', undefined, ['true'], ['true']],
  ['bigint', 'String', undefined, ['9007199254740993'], ['9007199254740993']],
  ['double precision', 'String', undefined, ['-0', 'NaN', '1e-320'], ['-0', 'NaN', '1e-320']],
  [
    'uuid',
    'LowCardinality(String)',
    undefined,
    ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
    ['a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'],
  ],
  ['money', 'Decimal(20, 2)', 'refuse', ['12.34'], ['12.34']],
  ['money', 'String', undefined, ['-1234.50'], ['-1234.5']],
];

describe('a column with a type or a policy of the user', async () => {
  const address = await freshDatabase('policies');
  const sink = await openSink('policies');
  const { ch } = sink;
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
  });
  afterEach(() => client.query('rollback'));
  afterAll(() => client.end());

  /** A table with a column for each case. */
  const make = async (cases: readonly Case[], constraint = '') => {
    const source = freshName('t');
    const columns = cases.map(([type], at) => `c${at} ${type} ${constraint}`);
    await client.query(`create table ${source} (id int primary key, ${columns.join(', ')})`);
    const types = cases.flatMap(([, type], at) => (type === '-' ? [] : [[`c${at}`, type] as const]));
    const policies = cases.flatMap(([, , policy], at) => (policy === undefined ? [] : [[`c${at}`, policy] as const]));
    const columnOptions = { types: Object.fromEntries(types), policies: Object.fromEntries(policies) };
    const table = await replicate(client, { schema: 'public', table: source }, { columns: columnOptions });
    return { source, table };
  };
  const target = async (table: ReplicatedTable): Promise<string> => {
    const name = `${sink.database}.${freshName('t')}`;
    await makeTarget(ch, table, name);
    return name;
  };

  const stored = CASES.filter(([, , , , expected]) => expected !== 'refused');
  // A column that takes no NULL is printed in another way.
  describe.each(['', 'not null'])('%s', (constraint) => {
    const found = new Map<string, readonly Readonly<Record<string, string | null>>[]>();
    beforeAll(async () => {
      const { source, table } = await make(stored, constraint);
      const rows = Math.max(...stored.map(([, , , values]) => values.length));
      const places = stored.map((_, at) => `$${at + 1}`).join(', ');
      for (let id = 0; id < rows; id += 1) {
        const values = stored.map(([, , , all]) => all[id] ?? (constraint === '' ? null : all[0]));
        await client.query(`insert into ${source} values (${id}, ${places})`, values);
      }
      for (const [road, take] of Object.entries(ROADS)) {
        const name = await target(table);
        await bring(ch, name, await take(client, table));
        const columns = stored.map((_, at) => `toString(c${at}) as c${at}`);
        found.set(road, await rowsOf(sink, `select ${columns.join(', ')} from ${name} order by id`));
      }
    });
    it.each(stored.map((each, at) => [...each, at] as const))(
      '%s in %s, %s: %j is %j',
      (type, _clickhouse, _policy, values, expected, at) => {
        const shown = type === 'numeric' || type === 'bigint' ? 'numeric(' : type;
        for (const [road, rows] of found)
          expect(
            rows.slice(0, values.length).map((row) => normal(shown, row[`c${at}`] ?? null)),
            road,
          ).toEqual((expected as readonly (string | null)[]).map((value) => normal(shown, value)));
      },
    );
  });

  const refused = CASES.filter(([, , , , expected]) => expected === 'refused');
  it.each(refused)('%s in %s, %s: %j is %s', async (...each) => {
    const [, , , values] = each;
    const { source, table } = await make([each]);
    const name = await target(table);
    for (const value of values) {
      await client.query(`truncate ${source}; delete from pg2click.outbox_${table.id}`);
      await client.query(`insert into ${source} values (1, $1)`, [value]);
      for (const [road, take] of Object.entries(ROADS))
        await expect(bring(ch, name, await take(client, table)), road).rejects.toThrow(
          /annot (?:read|parse)|expected/iu,
        );
    }
    expect(await rowsOf(sink, `select 1 from ${name}`)).toEqual([]);
  });

  it.each(Object.entries(OUTBOX_ROADS))('has a tombstone where its row is gone: %s', async (_, take) => {
    const kinds = [...new Map(CASES.map((each) => [`${each[0]} ${each[1]} ${each[2] ?? ''}`, each])).values()];
    const { source, table } = await make(kinds, 'not null');
    const name = await target(table);
    const good: Readonly<Record<string, string>> = {
      date: '2024-01-01',
      uuid: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
      boolean: 'true',
    };
    const values = kinds.map(([type]) => `'${good[type] ?? (type.startsWith('timestamp') ? '2024-01-01' : '1')}'`);
    await client.query(`insert into ${source} values (1, ${values.join(', ')}), (2, ${values.join(', ')})`);
    await bring(ch, name, await take(client, table));
    await client.query(`delete from ${source} where id = 1`);
    await bring(ch, name, await take(client, table));
    expect(await rowsOf(sink, `select id from ${name} final`)).toEqual([{ id: 2 }]);
  });
});
