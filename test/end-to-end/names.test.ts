import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quotePg } from '../../src/domain/identifier.js';
import type { TableOptions } from '../../src/domain/replicated-table.js';
import { shellName } from '../../src/domain/table-name.js';
import { openPath, type Path } from '../support/path.js';

/** Names that mean something else to a shell, to SQL, to JSON, or to ClickHouse: virtual columns, subcolumns, Nested, parameters. */
const COLUMNS: readonly string[] = [
  'order',
  'index',
  'final',
  'from',
  'select',
  'null',
  'true',
  'nan',
  'array',
  'distinct',
  'count()',
  '*',
  '?',
  '%s',
  '$1',
  'Event-Name',
  'event-name',
  'a`b',
  'c\\d',
  `e'f`,
  'g"h',
  '{x:String}',
  ' blank ',
  'tab\t',
  'new\nline',
  '/*',
  '--',
  ';',
  'a.b',
  'a.c',
  'a.size0',
  'j.k',
  'note.',
  '.note',
  '_part_offset',
  '_partition_id',
  '_sample_factor',
  '_table',
  '_database',
  '_time',
  'version',
  'seq',
  'mark',
  'k1',
  'event',
  'batch',
  'source',
  'loose',
  'значение',
  '😀',
  '\u00e9',
  'e\u0301',
  '__proto__',
  'toString',
  'x'.repeat(63),
];
/** Columns that the Kafka engine has itself. */
const OF_THE_ENGINE: readonly string[] = ['_table', '_database'];
const TABLES: readonly string[] = [
  'transaction',
  'test account',
  'select',
  'ключ',
  '😀',
  'Order',
  'a`b"c',
  `it's`,
  'semi;colon',
];

describe('a name that PostgreSQL takes', () => {
  let path: Path;
  beforeAll(async () => {
    path = await openPath();
  });
  afterAll(() => path.close());

  it.each<[string, TableOptions]>([
    ['kafka, json', {}],
    ['kafka, packed', { format: 'packed' }],
    ['kafka, keys', { payload: 'key' }],
    ['direct', { transport: 'direct' }],
    ['the Kafka engine', { loader: 'kafka-engine' }],
  ])('of a column is replicated: %s', async (way, options) => {
    const name = `columns ${way}`;
    const table = `public.${quotePg(name)}`;
    const names = COLUMNS.filter((column) => !OF_THE_ENGINE.includes(column) || options.loader === undefined);
    const columns = names.map((column, at) => `${quotePg(column)} ${at % 2 === 0 ? 'int' : 'text'}`);
    await path.source.query(`create table ${table} (id int primary key, note text, ${columns.join(', ')})`);
    const places = names.map((_, at) => `$${at + 1}`).join(', ');
    const insert = (id: number, note: string | null): Promise<unknown> =>
      path.source.query(
        `insert into ${table} values (${id}, ${note === null ? 'null' : `'${note}'`}, ${places})`,
        names.map((_, at) => (id % 3 === 0 ? null : String(id * 100 + at))),
      );
    for (const [id, note] of [
      [1, null],
      [2, 'n'],
      [3, 'm'],
    ] as const)
      await insert(id, note);
    const followed = await path.add(`public.${quotePg(name)}`, options);
    await followed.copy();
    await insert(4, null);
    await path.source.query(`update ${table} set note = null where id = 2; delete from ${table} where id = 3`);
    expect(await followed.expectEqual()).toBe(3);
    expect(await followed.sink('select count() from {current} where note is null')).toBe('3');
    await followed.remove(true);
  });

  it.each(TABLES)('of a table is replicated, also with a key of such a name: %s', async (name) => {
    const written = shellName({ schema: 'public', table: name })
      .replace(/^'(.*)'$/su, '$1')
      .replaceAll(String.raw`'\''`, `'`);
    await path.source.query(
      `create table public.${quotePg(name)} ("array" int, "a.b" text, "v" text, primary key ("a.b", "array"))`,
    );
    await path.source.query(`insert into public.${quotePg(name)} values (1, 'x', 'a'), (2, 'x', 'b')`);
    const followed = await path.add(written);
    await followed.copy();
    await path.source.query(`update public.${quotePg(name)} set v = 'c' where "array" = 1`);
    await path.source.query(`delete from public.${quotePg(name)} where "array" = 2`);
    expect(await followed.expectEqual()).toBe(1);
    await followed.remove(true);
  });

  it.each([
    '_version',
    '_deleted',
    '_row_exists',
    '_block_number',
    '_block_offset',
    '_part',
    'note.null',
    'note.size',
    'note.size0',
  ])('of a column is refused where ClickHouse or pg2click reads something else in it: %s', async (name) => {
    const table = `public.${quotePg(`reserved ${name}`)}`;
    await path.source.query(`create table ${table} (id int primary key, note text, ${quotePg(name)} int)`);
    await expect(path.add(table)).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: expect.stringContaining(`has a column ${name}:`) as string,
    });
    const followed = await path.add(table, { excluded: [name] });
    await followed.remove(true);
  });
});
