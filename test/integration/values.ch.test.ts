import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { quotePg } from '../../src/domain/identifier.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { BEGIN_READING } from '../../src/source/session.js';
import { bring, makeTarget, OUTBOX_ROADS, ROADS } from '../support/roads.js';
import { openSink, rowsOf } from '../support/sink.js';
import { connectSource, replicate } from '../support/source-table.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { MAKE_TYPES, normal, OUTSIDE, VALUES } from '../support/type-values.js';

const TYPES = Object.keys(VALUES);
/** Columns of one table: each road of a table costs 10 ms, whatever it has. */
const TYPES_A_TABLE = 17;

/** What PostgreSQL has, as it prints it: `char(n)` and the like as it turns them into text, `money` as a number. */
function printedBy(type: string): string {
  const name = quotePg(type);
  if (/^(?:char\(|bpchar|boolean$)/u.test(type)) return `${name}::text`;
  return type === 'money'
    ? `${name}::numeric::text`
    : `case when ${name} is distinct from null then concat(${name}) end`;
}

type Values = Readonly<Record<string, string | null>>;

/** One truth for a value: every type and its hard values, on every road, against what PostgreSQL prints. */
describe('a value of PostgreSQL', async () => {
  const address = await freshDatabase('values');
  const sink = await openSink('values');
  const { ch } = sink;
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(MAKE_TYPES);
  });
  // A test that fails may leave its transaction open.
  afterEach(() => client.query('rollback'));
  afterAll(() => client.end());

  const make = async (columns: string): Promise<{ source: string; table: ReplicatedTable }> => {
    const source = freshName('t');
    await client.query(`create table ${source} (${columns})`);
    return { source, table: await replicate(client, { schema: 'public', table: source }) };
  };
  const target = async (table: ReplicatedTable, engine?: string): Promise<string> => {
    const name = `${sink.database}.${freshName('t')}`;
    await makeTarget(ch, table, name, engine);
    return name;
  };

  const groups = Array.from({ length: Math.ceil(TYPES.length / TYPES_A_TABLE) }, (_, at) =>
    TYPES.slice(at * TYPES_A_TABLE, (at + 1) * TYPES_A_TABLE),
  );
  let compared = 0;
  describe.each(groups.map((types) => ({ types })))('on every road', ({ types }) => {
    const found = new Map<string, readonly Values[]>();
    let exact: readonly Values[] = [];
    beforeAll(async () => {
      const { source, table } = await make(
        `id int primary key, ${types.map((type) => `${quotePg(type)} ${type}`).join(', ')}`,
      );
      const rows = Math.max(...types.map((type) => VALUES[type]?.length ?? 0)) + 1;
      const places = types.map((_, index) => `$${index + 1}`).join(', ');
      for (let id = 0; id < rows; id += 1)
        await client.query(
          `insert into ${source} values (${id}, ${places})`,
          types.map((type) => VALUES[type]?.[id] ?? null),
        );
      await client.query(BEGIN_READING);
      exact = (
        await client.query<Values>(
          `select ${types.map((type) => `${printedBy(type)} as ${quotePg(type)}`).join(', ')} from public.${source} order by id`,
        )
      ).rows;
      await client.query('commit');
      for (const [road, take] of Object.entries(ROADS)) {
        const name = await target(table, 'Memory');
        await bring(ch, name, await take(client, table));
        const columns = types.map((type) => `toString(${quotePg(type)}) as ${quotePg(type)}`);
        found.set(road, await rowsOf<Values>(sink, `select ${columns.join(', ')} from ${name} order by id`));
      }
    });
    it.each(types)('of type %s is the same', (type) => {
      const valuesOf = (rows: readonly Values[] = []): unknown[] => rows.map((row) => normal(type, row[type] ?? null));
      for (const road of Object.keys(ROADS)) {
        expect(valuesOf(found.get(road)), road).toEqual(valuesOf(exact));
        compared += (VALUES[type]?.length ?? 0) + 1;
      }
    });
  });

  it('is compared on all roads', () => {
    const roads = Object.keys(ROADS).length;
    console.log(`${TYPES.length} types, ${compared / roads} values with NULL, ${roads} roads: ${compared} comparisons`);
    expect(compared / roads).toBeGreaterThan(3 * TYPES.length);
  });

  for (const [type, values] of Object.entries(OUTSIDE))
    it(`of type ${type} that ClickHouse would change is refused: ${values.join(', ')}`, async () => {
      for (const nullable of [false, true]) {
        const { source, table } = await make(`id int primary key, v ${type} ${nullable ? '' : 'not null'}`);
        const name = await target(table);
        for (const value of values) {
          await client.query(`truncate ${source}; delete from pg2click.outbox_${table.id}`);
          await client.query(`insert into ${source} values (1, $1)`, [value]);
          for (const take of Object.values(ROADS))
            await expect(bring(ch, name, await take(client, table))).rejects.toThrow(/annot (?:read|parse)|expected/iu);
        }
        expect(await rowsOf(sink, `select 1 from ${name}`)).toEqual([]);
      }
    });

  // Whether a column takes NULL or not: nobody sees its value in a tombstone, but ClickHouse reads it.
  it.each(Object.entries(OUTBOX_ROADS))('that is gone leaves a tombstone, of every type: %s', async (_, take) => {
    const columns = TYPES.flatMap((type, index) => [`n${index} ${type} not null`, `v${index} ${type}`]);
    const { source, table } = await make(`id int primary key, ${columns.join(', ')}`);
    const name = await target(table);
    const values = TYPES.flatMap((type) => {
      const value = `'${(VALUES[type]?.[0] ?? '').replaceAll(`'`, `''`)}'`;
      return [value, value];
    });
    for (const id of [1, 2]) await client.query(`insert into ${source} values (${id}, ${values.join(', ')})`);
    await bring(ch, name, await take(client, table));
    expect(await rowsOf(sink, `select id from ${name} final order by id`)).toEqual([{ id: 1 }, { id: 2 }]);
    await client.query(`delete from ${source} where id = 1`);
    await bring(ch, name, await take(client, table));
    expect(await rowsOf(sink, `select id from ${name} final order by id`)).toEqual([{ id: 2 }]);
    expect(await rowsOf(sink, `select max(_deleted) as gone from ${name}`)).toEqual([{ gone: 1 }]);
  });

  it('of a float that is not a number arrives as what it is', async () => {
    const { source, table } = await make('id int primary key, v double precision not null');
    await client.query(`insert into ${source} values (1, 'NaN'), (2, 'Infinity'), (3, '-Infinity')`);
    for (const take of Object.values(ROADS)) {
      const name = await target(table);
      await bring(ch, name, await take(client, table));
      const found = await rowsOf(sink, `select toString(v) as v from ${name} order by id`);
      expect(found.map(({ v }) => v)).toEqual(['nan', 'inf', '-inf']);
    }
  });
});
