import { text } from 'node:stream/consumers';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { KeyRange, KeyTexts } from '../../src/domain/chunk.js';
import { quotePg } from '../../src/domain/identifier.js';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { copyRows } from '../../src/source/copy/copy-rows.js';
import { readKeyOrder } from '../../src/source/copy/key-order.js';
import { keyCondition } from '../../src/source/copy/key-range.js';
import { parseKey, readKeyRange } from '../../src/source/copy/parse-key.js';
import { planKeyRange } from '../../src/source/copy/plan-key-range.js';
import { ownRows } from '../../src/source/outbox/names.js';
import { BEGIN_READING } from '../../src/source/session.js';
import { connectSource, replicate } from '../support/source-table.js';
import { freshDatabase, freshName } from '../support/stack.js';
import { MAKE_TYPES, VALUES } from '../support/type-values.js';

const keys = (from: KeyTexts | null, to: KeyTexts | null, bytewise = false): KeyRange => ({
  kind: 'keys',
  from,
  to,
  ...(bytewise ? { bytewise } : {}),
});

const never = (): AbortSignal => new AbortController().signal;
const silent = { signal: never(), onProgress: () => undefined };

/** In a session as the product's are: it finds what is in pg_catalog only. */
async function inReading<Row extends object>(client: pg.Client, sql: string): Promise<Row[]> {
  await client.query(BEGIN_READING);
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.query('rollback');
  }
}

const printed = ({ key }: ReplicatedTable): string =>
  `array[${key.map((name) => `concat(source.${quotePg(name)})`).join(', ')}]`;

/** All keys of a table in the order of PostgreSQL. @param order SQL; by default that of the key's columns */
async function sortedKeys(client: pg.Client, table: ReplicatedTable, order?: string): Promise<KeyTexts[]> {
  const by = order ?? table.key.map((name) => `source.${quotePg(name)}`).join(', ');
  const rows = await inReading<{ key: KeyTexts }>(
    client,
    `select ${printed(table)} as key from ${ownRows(table)} source order by ${by}`,
  );
  return rows.map(({ key }) => key);
}

async function keysIn(client: pg.Client, table: ReplicatedTable, range: KeyRange): Promise<string[]> {
  const order = await readKeyOrder(client, table);
  const rows = await inReading<{ key: KeyTexts }>(
    client,
    `select ${printed(table)} as key from ${ownRows(table)} source where ${keyCondition(order, range)}`,
  );
  return rows.map(({ key }) => JSON.stringify(key)).toSorted();
}

/** Each range between two of the keys, or with an open end, has just the keys between them. */
async function expectAllRanges(
  client: pg.Client,
  table: ReplicatedTable,
  sorted: readonly KeyTexts[],
  bytewise = false,
): Promise<void> {
  const all = sorted.map((key) => JSON.stringify(key));
  for (let from = -1; from < sorted.length; from += 1)
    for (let to = Math.max(from, 0); to <= sorted.length; to += 1) {
      const range = keys(sorted[from] ?? null, sorted[to] ?? null, bytewise);
      expect(await keysIn(client, table, range), JSON.stringify(range)).toEqual(
        all.slice(Math.max(from, 0), to).toSorted(),
      );
    }
}

describe('a range of keys', async () => {
  const address = await freshDatabase('ranges', `template template0 locale_provider icu icu_locale 'de'`);
  let client: pg.Client;
  beforeAll(async () => {
    client = await connectSource(address);
    await client.query(MAKE_TYPES);
  });
  afterAll(() => client.end());

  const made = async (columns: string, key: string, rows: readonly string[]): Promise<ReplicatedTable> => {
    const table = freshName('t');
    await client.query(`create table ${table} (${columns}, v int default 0, primary key (${key}))`);
    for (const row of rows) await client.query(`insert into ${table} values (${row}) on conflict do nothing`);
    return replicate(client, { schema: 'public', table });
  };

  // Longer than a page of the index.
  const types = Object.keys(VALUES).filter((type) => type !== 'character varying');
  it.each(types)('of type %s has the rows that PostgreSQL sorts between its bounds', async (type) => {
    const source = freshName('t');
    const created = await client.query(`create table ${source} (id ${type} primary key)`).catch(() => undefined);
    const table = created && (await replicate(client, { schema: 'public', table: source }).catch(() => undefined));
    // No type of a key: another test holds which.
    if (table === undefined) return;
    for (const value of new Set(VALUES[type]))
      await client.query(`insert into ${source} values ($1) on conflict do nothing`, [value]);
    await expectAllRanges(client, table, await sortedKeys(client, table));
  });

  it.each<readonly [string, string, string, readonly string[]]>([
    ['text and int', 'a text, b int', 'a, b', [`'a', 1`, `'a', 2`, `'B', -1`, `'b', 1`, `'ä', 0`, `'Z', 5`, `'', 3`]],
    [
      'of three',
      'a int, b uuid, c date',
      'c, a, b',
      [1, 2, 3].flatMap((a) =>
        ['2024-01-01', '0044-03-15 BC', 'infinity'].map(
          (c) => `${a}, '00000000-0000-0000-0000-00000000000${a}', '${c}'`,
        ),
      ),
    ],
    [
      'with a type of an extension',
      'a int, b citext',
      'b, a',
      [`1, 'A'`, `1, 'b'`, `2, 'a'`, `2, 'B'`, `3, '_'`, `4, 'Ä'`],
    ],
    [
      'with other names of operators',
      'a hstore, b mood',
      'a, b',
      [`'a=>1', 'fine'`, `'a=>2', 'fine'`, `'', 'fine'`, `'', E'it''s "so\\\\so"'`],
    ],
    [
      'with domains',
      'a positive, b email, c price',
      'a, b, c',
      [`1, 'A', 1.50`, `1, 'a', 2`, `2, 'b', 1`, `1, 'B', 3`],
    ],
    ['of char', 'a char(3), b varchar(5)', 'a, b', [`'a', 'x'`, `'a  ', 'y'`, `'', ''`, `'ä', 'x'`, `'B', ''`]],
    ['with odd names', '"a""b" int, "ß c" text', '"ß c", "a""b"', [`1, E'\\\\'`, `2, ''''`, `3, E'\\\\'`, `4, '"'`]],
  ])('of several columns is in the order of all of them: %s', async (_, columns, key, rows) => {
    const table = await made(columns, key, rows);
    const sorted = await sortedKeys(client, table);
    expect(sorted.length).toBeGreaterThan(3);
    await expectAllRanges(client, table, sorted);
  });

  it('takes a bound that the constraint of a domain, or the length of the column, does not allow', async () => {
    const table = await made('a positive, b varchar(2)', 'a, b', [`1, 'aa'`, `2, 'b'`]);
    expect(await keysIn(client, table, keys(['-5', 'a'], ['1', 'aaaa']))).toEqual(['["1","aa"]']);
  });

  it.each([
    ['int', 'a int', 'a', `i`, ['10'], ['20']],
    ['domain', 'a positive', 'a', `i + 1`, ['10'], ['20']],
    ['composite', 'a int, b text', 'a, b', `i, i::text`, ['10', 'x'], ['20', 'y']],
    [
      'uuid',
      'a uuid',
      'a',
      `md5(i::text)::uuid`,
      ['00000000-0000-0000-0000-000000000000'],
      ['0fffffff-0000-0000-0000-000000000000'],
    ],
    [
      'timestamptz',
      'a timestamptz',
      'a',
      `now() + i * interval '1 s'`,
      ['2024-01-01 00:00:00+00'],
      ['2025-01-01 00:00:00+00'],
    ],
    ['text, database of another collation than C', 'a text', 'a', `i::text`, ['1'], ['2']],
    ['varchar with a collation of its own', 'a varchar(9) collate "und-x-icu"', 'a', `i::text`, ['1'], ['2']],
    ['citext', 'a citext', 'a', `i::text`, ['1'], ['2']],
    ['citext and int', 'a citext, b int', 'a, b', `i::text, i`, ['1', '5'], ['2', '6']],
    ['enum', 'a mood, b int', 'a, b', `'fine', i`, ['fine', '5'], ['fine', '8']],
  ] as const)('is answered by the index of the key: %s', async (_, columns, key, values, from, to) => {
    const table = await made(columns, key, []);
    await client.query(
      `insert into ${table.name.table} select ${values} from generate_series(1, 1000) i; analyze ${table.name.table}`,
    );
    const order = await readKeyOrder(client, table);
    await client.query(BEGIN_READING);
    await client.query(`set local enable_seqscan = off; set local enable_bitmapscan = off`);
    const plan = await client.query<{ 'QUERY PLAN': string }>(
      `explain (costs off) select * from ${ownRows(table)} source where ${keyCondition(order, keys(from, to))}`,
    );
    await client.query('rollback');
    const lines = plan.rows.map((row) => row['QUERY PLAN']);
    expect(lines[0]).toMatch(/^Index (Only )?Scan using/u);
    const condition = lines.find((line) => line.includes('Index Cond')) ?? '';
    expect(condition).toMatch(/>=.*</u);
    if (columns === 'a int, b text') expect(lines.join('\n')).not.toContain('Filter');
  });

  it('that is bytewise has texts in the order of their bytes, whatever the collation', async () => {
    const rows = [`'a', 1`, `'B', 1`, `'b', 2`, `'ä', 1`, `'z', 1`, `'Z', 2`, `'', 1`, `'🐘', 1`, `'\uffee', 1`];
    for (const type of ['text', 'varchar(9) collate "und-x-icu"', 'text collate "C"', 'name']) {
      const table = await made(`a ${type}, b int`, 'b, a', rows);
      const sorted = (await sortedKeys(client, table)).toSorted(
        ([b = '', a = ''], [d = '', c = '']) => Number(b) - Number(d) || Buffer.compare(Buffer.from(a), Buffer.from(c)),
      );
      await expectAllRanges(client, table, sorted, true);
    }
  });

  it('that is bytewise has the order of UTF-8 in a database of another encoding too', async () => {
    const other = await freshDatabase(
      'ranges',
      `template template0 encoding 'WIN1251' locale 'C' locale_provider libc`,
    );
    const own = await connectSource(other);
    await own.query(`create table t (id text primary key)`);
    // In WIN1251: 0xa8, 0xb3, 0xc0, 0xff.
    const texts = ['Ё', 'і', 'А', 'я', 'z', '№'];
    for (const value of texts) await own.query(`insert into t values ($1)`, [value]);
    const table = await replicate(own, { schema: 'public', table: 't' });
    const sorted = texts.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).map((value) => [value]);
    expect(await sortedKeys(own, table)).not.toEqual(sorted);
    await expectAllRanges(own, table, sorted, true);
    await own.end();
  });

  it('has the order of the index that guarantees the key, not that of another one on the same columns', async () => {
    const table = await made('a text', 'a', [`'a'`, `'B'`, `'ä'`, `'Z'`]);
    const name = table.name.table;
    await client.query(`create unique index "0_${name}" on ${name} (a text_pattern_ops);
      create unique index "1_${name}" on ${name} (a collate "C"); create unique index "2_${name}" on ${name} (a);
      alter table ${name} drop constraint ${name}_pkey`);
    await expectAllRanges(client, table, await sortedKeys(client, table));
  });

  it('is what a copy reads', async () => {
    const table = await made('a int, b citext', 'b, a', [`1, 'A'`, `2, 'a'`, `3, 'B'`]);
    const range = keys(['a', '2'], ['b', '9']);
    const rows = await text(copyRows(client, table, '7', { signal: never(), range }));
    expect(
      rows
        .trim()
        .split('\n')
        .map((row) => row.split('\t').slice(0, 2)),
    ).toEqual([
      ['2', 'a'],
      ['3', 'B'],
    ]);
  });

  describe('that a person gives', () => {
    it('has the text of a key of one column, or a JSON array in key order', async () => {
      const one = await made('id bigint', 'id', []);
      const two = await made('a int, b text, c boolean', 'b, a, c', []);
      expect(parseKey(one, '9007199254740993')).toEqual(['9007199254740993']);
      expect(parseKey(one, '[9007199254740993]')).toEqual(['9007199254740993']);
      expect(parseKey(one, '["7"]')).toEqual(['7']);
      expect(parseKey(two, ' ["x, \\"[1]\\" \\u00e9", 9007199254740993, true] ')).toEqual([
        'x, "[1]" é',
        '9007199254740993',
        'true',
      ]);
      for (const wrong of [
        'x',
        '["x"]',
        '["x", 1, true, 4]',
        '["x", null, true]',
        '["x", [1], true]',
        '{"a":1}',
        '["x", 1, true',
      ])
        expect(() => parseKey(two, wrong), wrong).toThrow(
          expect.objectContaining({
            kind: 'Misconfigured',
            message: expect.stringMatching(
              /is a JSON array of 3 texts or numbers, for \(b, a, c\), and ".*" is none\.$/u,
            ),
          }),
        );
    });

    it('is read by PostgreSQL, and has what PostgreSQL prints', async () => {
      const table = await made('a int, b timestamptz, c mood, d char(3), e email', 'a, b, c, d, e', []);
      const given = JSON.stringify([' 007 ', '2024-07-01 02:00+02', 'fine', 'a', 'Ab']);
      expect(await readKeyRange(client, table, { from: given })).toEqual(
        keys(['7', '2024-07-01 00:00:00+00', 'fine', 'a', 'Ab'], null),
      );
      expect(await readKeyRange(client, table, {}, { bytewise: true })).toEqual(keys(null, null, true));
    });

    it.each([
      ['int', 'x', 'int4'],
      ['int', '3000000000', 'int4'],
      ['date', '2024-02-30', 'date'],
      ['timestamptz', 'soon', 'timestamptz'],
      ['uuid', '1', 'uuid'],
      ['mood', 'sad', 'public.mood'],
      ['text', 'a\0b', 'text'],
      ['inet', '1.2.3', 'inet'],
    ])('is refused with its column and type where it is no value of it: %s, %j', async (type, value, shown) => {
      const table = await made(`id ${type}`, 'id', []);
      await expect(readKeyRange(client, table, { to: value })).rejects.toMatchObject({
        kind: 'Misconfigured',
        message: `The key column id of public.${table.name.table} is of type ${shown}, and "${value}" is no value of it.`,
      });
    });

    it.each([
      ['int', '9', '10', true],
      ['int', '10', '10', false],
      ['text', '9', '10', false],
      ['text', 'a', 'B', true],
      ['text collate "C"', 'a', 'B', false],
      ['citext', 'A', 'a', false],
    ])('is refused where no key can be in it: %s, %s to %s', async (type, from, to, good) => {
      const table = await made(`id ${type}`, 'id', []);
      const read = readKeyRange(client, table, { from, to });
      if (good) await expect(read).resolves.toEqual(keys([from], [to]));
      else
        await expect(read).rejects.toMatchObject({
          kind: 'Misconfigured',
          message: expect.stringContaining(
            `lies between ${from} and ${to}: the first one does not come before the second one.`,
          ),
        });
    });
  });

  describe('that is cut', () => {
    /** Of a plan: the rows of each chunk. */
    const rowsOf = async (
      table: ReplicatedTable,
      plan: Awaited<ReturnType<typeof planKeyRange>>,
    ): Promise<number[]> => {
      const rows: number[] = [];
      for (const { range } of plan) rows.push((await keysIn(client, table, range as KeyRange)).length);
      return rows;
    };

    it('has chunks of so many rows each, from the beginning to the end, and bytes by their share', async () => {
      const table = await made('a text, b int', 'a, b', []);
      await client.query(
        `insert into ${table.name.table} select (i % 7)::text, i from generate_series(1, 1000) i; analyze ${table.name.table}`,
      );
      const notes: string[] = [];
      const plan = await planKeyRange(client, table, keys(['2', '0'], ['5', '600']), 100, {
        signal: never(),
        onProgress: (note) => notes.push(note),
      });
      const expected = await keysIn(client, table, keys(['2', '0'], ['5', '600']));
      const rows = await rowsOf(table, plan);
      expect(rows).toEqual([100, 100, 100, 100, 100, expected.length - 500]);
      expect(plan[0]?.range).toMatchObject({ from: ['2', '0'] });
      expect(plan.at(-1)?.range).toMatchObject({ to: ['5', '600'] });
      expect(notes).toHaveLength(5);
      expect(notes[0]).toBe('cutting a range of keys: 100 rows so far');
      const size = Number((await client.query(`select pg_table_size($1::oid) as size`, [table.relation])).rows[0].size);
      const share = plan.reduce((sum, { bytes }) => sum + bytes, 0) / size;
      expect(share).toBeCloseTo(expected.length / 1000, 2);
    });

    it('is nothing where it has no rows, and one chunk where it has few', async () => {
      const table = await made('id int', 'id', ['5']);
      expect(await planKeyRange(client, table, keys(['6'], null), 10, silent)).toEqual([]);
      expect(await planKeyRange(client, table, keys(null, null), 10, silent)).toEqual([
        { range: keys(null, null), bytes: 8192 },
      ]);
    });

    it('has the rows of all partitions, in the order of the key of all', async () => {
      const name = freshName('t');
      await client.query(`create table ${name} (a int, b text, primary key (b, a)) partition by hash (a);
        create table ${name}_0 partition of ${name} for values with (modulus 2, remainder 0);
        create table ${name}_1 partition of ${name} for values with (modulus 2, remainder 1);
        insert into ${name} select i, i::text from generate_series(1, 100) i; analyze ${name}`);
      const table = await replicate(client, { schema: 'public', table: name });
      const plan = await planKeyRange(client, table, keys(null, null), 30, silent);
      expect(await rowsOf(table, plan)).toEqual([30, 30, 30, 10]);
    });

    it('is one chunk where no index has its order', async () => {
      const table = await made('a text', 'a', [`'a'`, `'B'`, `'c'`]);
      const range = keys(['B'], null, true);
      expect(await planKeyRange(client, table, range, 1, silent)).toEqual([{ range, bytes: expect.any(Number) }]);
      const own = await made('a text collate "C"', 'a', [`'a'`, `'B'`, `'c'`]);
      expect(await planKeyRange(client, own, range, 1, silent)).toHaveLength(3);
      const mixed = freshName('t');
      await client.query(`create table ${mixed} (a int not null, b int not null); create unique index on ${mixed} (a desc, b);
        insert into ${mixed} select i, i from generate_series(1, 9) i`);
      const other = await replicate(client, { schema: 'public', table: mixed }, { key: ['a', 'b'] });
      expect(await planKeyRange(client, other, keys(null, ['5', '5']), 2, silent)).toHaveLength(1);
      expect(await keysIn(client, other, keys(['2', '3'], ['5', '5']))).toEqual(['["3","3"]', '["4","4"]']);
    });

    it('is read under the name that the table has now', async () => {
      const table = await made('id int', 'id', ['1', '2', '3']);
      const renamed = freshName('t');
      await client.query(`alter table ${table.name.table} rename to ${renamed}`);
      const moved = { ...table, source: { schema: 'public', table: renamed } };
      expect(await planKeyRange(client, moved, keys(null, null), 1, silent)).toHaveLength(3);
    });

    it('has larger chunks where there would be more than 10,000', async () => {
      const table = await made('id int', 'id', []);
      await client.query(`insert into ${table.name.table} select i from generate_series(1, 10500) i`);
      const plan = await planKeyRange(client, table, keys(null, null), 1, silent);
      expect(plan.length).toBeGreaterThan(5_000);
      expect(plan.length).toBeLessThanOrEqual(10_000);
      expect(plan.map(({ range }) => (range as KeyRange).to?.[0] ?? null)).toEqual([
        ...plan.slice(1).map(({ range }) => (range as KeyRange).from?.[0]),
        null,
      ]);
    });

    it('ends with the reason of the signal', async () => {
      const table = await made('id int', 'id', ['1', '2', '3', '4']);
      const controller = new AbortController();
      const reason = new Error('enough');
      const plan = planKeyRange(client, table, keys(null, null), 1, {
        signal: controller.signal,
        onProgress: () => controller.abort(reason),
      });
      await expect(plan).rejects.toBe(reason);
    });

    it('says that the table changed, or lost the index of its key', async () => {
      const table = await made('id int', 'id', ['1']);
      await client.query(`alter table ${table.name.table} drop constraint ${table.name.table}_pkey`);
      await expect(planKeyRange(client, table, keys(null, null), 1, silent)).rejects.toMatchObject({
        kind: 'UnsuitableTable',
      });
      const dropped = await made('id int', 'id', ['1']);
      await readKeyOrder(client, dropped);
      await client.query(`drop table ${dropped.name.table} cascade`);
      await expect(planKeyRange(client, dropped, keys(null, null), 1, silent)).rejects.toMatchObject({
        kind: 'MissingTable',
      });
    });
  });
});
