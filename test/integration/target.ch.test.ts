import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import type { Failure } from '../../src/failure/failure.js';
import { composeVersion } from '../../src/domain/version.js';
import { refreshView } from '../../src/clickhouse/current-view.js';
import { createAppendTarget } from '../../src/clickhouse/append/target.js';
import { dropTarget } from '../../src/clickhouse/drop-target.js';
import { createTarget, highestGeneration, verifyTarget } from '../../src/clickhouse/target.js';
import { targetNames } from '../../src/clickhouse/names.js';
import { renewMarks } from '../../src/clickhouse/renew-marks.js';
import { sinkState } from '../../src/clickhouse/state.js';
import { column, openSink, targetTableOf, rowsOf } from '../support/sink.js';

const sink = await openSink('target');
const { ch, database } = sink;

const id = column('id', 'bigint');
const amount = column('amount', 'numeric', { precision: 10, scale: 2 });
const note = column('note', 'text', { nullable: true });

const orders = (more: Partial<TargetTable> = {}): TargetTable => targetTableOf(sink, [id, amount, note], more);
const sql = (query: string): Promise<unknown> => ch.command({ query });
const remedyOf = async (table: TargetTable): Promise<string> => {
  const refused = await createTarget(ch, table).catch((error: unknown) => error);
  return String((refused as Failure | undefined)?.remedy);
};
const inDatabase = async (table: string): Promise<string[]> =>
  (await rowsOf<{ name: string }>(sink, `show tables from ${database} like '${table}%'`)).map(({ name }) => name);

describe('a new target', () => {
  test('is a table, a floor and a view, marked with their owner', async () => {
    const replica = orders();
    await createTarget(ch, replica);
    const table = replica.target.table;
    expect(
      await rowsOf(
        sink,
        `select name, engine, comment from system.tables where database = '${database}' and name like '${table}%' order by name`,
      ),
    ).toEqual([
      { name: table, engine: 'ReplacingMergeTree', comment: `pg2click default/public.${table}` },
      { name: `${table}_current`, engine: 'View', comment: `pg2click default/public.${table} view` },
      { name: `${table}_floor`, engine: 'ReplacingMergeTree', comment: `pg2click default/public.${table} floor` },
    ]);
    expect(await rowsOf(sink, `describe table ${database}.${table}`)).toMatchObject([
      { name: 'id', type: 'Int64' },
      { name: 'amount', type: 'Decimal(10, 2)' },
      { name: 'note', type: 'Nullable(String)' },
      { name: '_version', type: 'UInt128' },
      { name: '_deleted', type: 'UInt8' },
    ]);
    expect(await rowsOf(sink, `describe table ${database}.${table}_current`)).toMatchObject([
      { name: 'id' },
      { name: 'amount' },
      { name: 'note' },
    ]);
  });

  test.each(['replacing', 'merge-tree'] as const)(
    'has the default that messages of before a column lack: %s',
    async (engine) => {
      const table = targetTableOf(sink, [id, { ...note, missing: 'a\\tb' }]);
      await (engine === 'replacing' ? createTarget : createAppendTarget)(ch, table);
      await sql(`insert into ${database}.${table.target.table} (id) values (1)`);
      expect(await rowsOf(sink, `select note from ${database}.${table.target.table}`)).toEqual([{ note: 'a\tb' }]);
    },
  );

  test('is made once, however often it is asked for, and after a crash between its parts', async () => {
    const table = orders();
    await createTarget(ch, table);
    await sql(`drop view ${database}.${table.target.table}_current`);
    await sql(`drop table ${database}.${table.target.table}_floor sync`);
    await createTarget(ch, table);
    await createTarget(ch, table);
    expect(await inDatabase(table.target.table)).toHaveLength(3);
  });

  test('shows no deleted row to a reader whose profile filters before FINAL, also by a view of an older release', async () => {
    const table = orders();
    await createTarget(ch, table);
    const { table: name } = table.target;
    const [key = 'id'] = table.key;
    for (const [version, deleted] of [
      [1, 0],
      [2, 1],
    ])
      await sql(`insert into ${database}.${name} (${key}, _version, _deleted)
        values (1, toUInt128('${composeVersion(1, BigInt(version ?? 0))}'), ${deleted})`);
    const profile =
      'settings optimize_move_to_prewhere_if_final = 1, optimize_move_to_prewhere = 1, query_plan_optimize_prewhere = 1';
    expect(await rowsOf(sink, `select * from ${database}.${name}_current ${profile}`)).toEqual([]);
    const [made] = await rowsOf<{ q: string }>(
      sink,
      `select create_table_query as q from system.tables where database = '${database}' and name = '${name}_current'`,
    );
    const older = made?.q
      .replace(/ SETTINGS optimize_move_to_prewhere_if_final = 0/u, '')
      .replace('CREATE VIEW', 'CREATE OR REPLACE VIEW');
    expect(older).not.toBe(made?.q);
    await sql(older ?? '');
    await refreshView(ch, table);
    expect(
      await rowsOf(
        sink,
        `select position(as_select, 'prewhere_if_final') > 0 as has from system.tables where database = '${database}' and name = '${name}_current'`,
      ),
    ).toEqual([{ has: 1 }]);
  });

  test('makes its database too', async () => {
    const table = orders();
    const elsewhere = { ...table, target: { database: `${database}_new`, table: 'orders' } };
    try {
      await createTarget(ch, elsewhere);
      expect(await sinkState(ch, elsewhere.target)).toEqual({ exists: true, highest: null });
    } finally {
      await sql(`drop database if exists ${database}_new sync`);
    }
  });

  test.each([
    ['capitals', 'Orders'],
    ['spaces and quotes', `it's "my" orders`],
    ['backticks and backslashes', 'back`tick\\slash'],
    ['63 bytes', 'n'.repeat(63)],
    ['many letters beyond ASCII', 'ä'.repeat(24)],
    ['a dot', 'a.b'],
  ])('takes names with %s, for tables, columns and keys', async (_what, name) => {
    const columns = [column(name, 'text'), column(`${name}2`, 'integer', { nullable: true })];
    const table = targetTableOf(sink, columns, {
      key: [name],
      name: { schema: name, table: name },
      target: { database, table: name },
    });
    await createTarget(ch, table);
    await createTarget(ch, table);
    await dropTarget(ch, table);
    expect(await sinkState(ch, table.target)).toEqual({ exists: false, highest: null });
  });

  test('is refused when its view would have too long a name, before anything is made', async () => {
    const table = 'ö'.repeat(31) + 'xx';
    const replica = orders({ target: { database, table } });
    await expect(createTarget(ch, replica)).rejects.toMatchObject({ kind: 'UnsuitableTable' });
    expect(await inDatabase(table)).toEqual([]);
  });

  test('keeps the order of a composite key, not that of the columns', async () => {
    const table = orders({ key: ['amount', 'id'] });
    await createTarget(ch, table);
    await createTarget(ch, table);
    expect(
      await rowsOf(sink, `select sorting_key from system.tables where name = '${table.target.table}'`),
    ).toMatchObject([{ sorting_key: expect.stringMatching(/^\(?amount, id\)?$/u) }]);
  });

  test.each(['_version', '_deleted', '_row_exists'])('refuses a column called %s', async (name) => {
    const table = targetTableOf(sink, [id, column(name, 'bigint')]);
    await expect(createTarget(ch, table)).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: expect.stringContaining(`"${name}"`),
    });
    expect(await inDatabase(table.target.table)).toEqual([]);
  });

  test('gets its view again when it was added again with other columns', async () => {
    const table = orders();
    await createTarget(ch, table);
    await sql(`drop table ${database}.${table.target.table} sync`);
    const fewer = { ...table, columns: table.columns.slice(0, 2) };
    await createTarget(ch, fewer);
    expect(await rowsOf(sink, `describe table ${database}.${table.target.table}_current`)).toHaveLength(2);
  });

  test('gets its view again when it was added again with a wider column, which the view would wrap', async () => {
    const narrow = targetTableOf(sink, [id, column('n', 'integer')]);
    const { table } = narrow.target;
    await createTarget(ch, narrow);
    await sql(`alter table ${database}.${table} modify column n Int64`);
    await createTarget(ch, { ...narrow, columns: narrow.columns.map((each) => ({ ...each, type: 'bigint' })) });
    await sql(`insert into ${database}.${table} values (1, 5000000000, 1, 0)`);
    expect(await rowsOf(sink, `select toString(n) as n from ${database}.${table}_current`)).toEqual([
      { n: '5000000000' },
    ]);
  });
});

describe('a target that exists', () => {
  test.each([
    [
      'another type',
      '(id Int64, amount Decimal(12, 2), note Nullable(String), _version UInt128, _deleted UInt8)',
      'column "amount" is Decimal(12, 2), not Decimal(10, 2)',
    ],
    [
      'a narrower integer, which would wrap',
      '(id Int32, amount Decimal(10, 2), note Nullable(String), _version UInt128, _deleted UInt8)',
      'column "id" is Int32, not Int64',
    ],
    [
      'no room for NULL',
      '(id Int64, amount Decimal(10, 2), note String, _version UInt128, _deleted UInt8)',
      'column "note" is String, not Nullable(String)',
    ],
    [
      'a missing column',
      '(id Int64, note Nullable(String), _version UInt128, _deleted UInt8)',
      'column "amount" Decimal(10, 2) is missing',
    ],
    [
      'a further column without a default',
      '(id Int64, amount Decimal(10, 2), note Nullable(String), extra String, _version UInt128, _deleted UInt8)',
      'column "extra" is not in the source',
    ],
    [
      'a computed column',
      '(id Int64, amount Decimal(10, 2), note Nullable(String) materialized toString(id), _version UInt128, _deleted UInt8)',
      'column "note" is MATERIALIZED',
    ],
  ])('is refused for %s, which is named', async (_what, columns, message) => {
    const table = orders();
    await sql(
      `create table ${database}.${table.target.table} ${columns} engine = ReplacingMergeTree(_version, _deleted) order by id`,
    );
    await expect(createTarget(ch, table)).rejects.toMatchObject({
      kind: 'SchemaMismatch',
      message: expect.stringContaining(message),
    });
    expect(await inDatabase(table.target.table), 'nothing else is made').toEqual([table.target.table]);
  });

  test('is taken once the SQL of the remedy has run, although a user made it', async () => {
    const table = orders();
    const { shown } = targetNames(table.target);
    await sql(/* sql */ `create table ${shown} (id Int64, amount Decimal(10, 1), note String materialized toString(id), own UInt8,
      _version UInt128, _deleted UInt8) engine = ReplacingMergeTree(_version, _deleted) order by id`);
    // Twice: a column that is MATERIALIZED first has its kind mended, then its type.
    for (let refusals = 0; refusals < 2; refusals += 1) {
      const remedy = await remedyOf(table);
      const [, statements = ''] = /^Run in ClickHouse: (.+)\. Then run pg2click resume /u.exec(remedy) ?? [];
      expect(statements, remedy).not.toBe('');
      for (const statement of statements.split('; ')) await sql(statement);
    }
    await createTarget(ch, table);
  });

  test('that no ALTER mends is left to its owner: the remedy names another target, and never loops', async () => {
    const table = orders();
    await sql(`create table ${database}.${table.target.table} (id Int64) engine = MergeTree order by id`);
    const remedy = await remedyOf(table);
    expect(remedy).toContain(`pg2click add public.${table.name.table} --target NAME`);
    expect(remedy).not.toContain('--drop-target');
  });

  const COLUMNS = '(id Int64, amount Decimal(10, 2), note Nullable(String), _version UInt128, _deleted UInt8)';

  test.each([
    ['an engine that keeps every version', 'engine = MergeTree order by id', 'its engine is MergeTree'],
    [
      'an engine that forgets deletions',
      'engine = ReplacingMergeTree(_version) order by id',
      'its engine is ReplacingMergeTree',
    ],
    [
      'another key',
      'engine = ReplacingMergeTree(_version, _deleted) order by (id, amount)',
      'column "amount", which is not in the key',
    ],
    [
      'a computed key',
      'engine = ReplacingMergeTree(_version, _deleted) order by intDiv(id, 2)',
      'without the key column "id"',
    ],
    [
      'partitions that a row can leave',
      'engine = ReplacingMergeTree(_version, _deleted) partition by amount order by id',
      'it is partitioned by column "amount"',
    ],
    [
      'a TTL that takes tombstones',
      'engine = ReplacingMergeTree(_version, _deleted) order by id ttl toDateTime(id) + interval 1 day',
      'its TTL takes tombstones away',
    ],
  ])('is refused for %s', async (_what, engine, message) => {
    const table = orders();
    await sql(`create table ${database}.${table.target.table} ${COLUMNS} ${engine}`);
    await expect(createTarget(ch, table)).rejects.toMatchObject({
      kind: 'SchemaMismatch',
      message: expect.stringContaining(message),
    });
  });

  test.each([
    ['the same', COLUMNS, 'order by id'],
    [
      'in another order, and with columns that fill themselves',
      '(_deleted UInt8, note Nullable(String), loaded DateTime default now(), double Int64 materialized id * 2, id Int64, amount Decimal(10, 2), _version UInt128)',
      'order by id',
    ],
    [
      'LowCardinality',
      '(id Int64, amount Decimal(10, 2), note LowCardinality(Nullable(String)), _version UInt128, _deleted UInt8)',
      'order by (id)',
    ],
    [
      'partitioned by the key, with a TTL that spares tombstones',
      COLUMNS,
      'partition by intDiv(id, 1000) order by id ttl toDateTime(id) + interval 100 year delete where _deleted = 0',
    ],
  ])('is taken although a user made it: %s', async (_what, columns, rest) => {
    const table = orders();
    await sql(
      `create table ${database}.${table.target.table} ${columns} engine = ReplacingMergeTree(_version, _deleted) ${rest}`,
    );
    await createTarget(ch, table);
    expect(await inDatabase(table.target.table)).toHaveLength(3);

    await dropTarget(ch, table);
    expect(await inDatabase(table.target.table), 'what a user made a user drops').toEqual([table.target.table]);
  });

  test('is looked at again on request, for what a user altered since', async () => {
    const table = orders();
    await createTarget(ch, table);
    await verifyTarget(ch, table);
    await sql(`alter table ${database}.${table.target.table} modify column amount Decimal(10, 1)`);
    await expect(verifyTarget(ch, table)).rejects.toMatchObject({ kind: 'SchemaMismatch' });
    await sql(`drop table ${database}.${table.target.table} sync`);
    await expect(verifyTarget(ch, table)).rejects.toMatchObject({ kind: 'SinkSetBack' });
  });

  test('is told from one that is dropped while it is looked at', async () => {
    const table = orders();
    await createTarget(ch, table);
    const dropping = new Proxy(ch, {
      get(target, name, receiver) {
        if (name !== 'query') return Reflect.get(target, name, receiver) as unknown;
        return async (params: Parameters<typeof ch.query>[0]) => {
          if (params.query.includes('system.columns')) await sql(`drop table ${database}.${table.target.table} sync`);
          return target.query(params);
        };
      },
    });
    await expect(verifyTarget(dropping, table)).rejects.toMatchObject({ kind: 'SinkSetBack' });
  });
});

describe('a target that is taken', () => {
  const other = (replica: TargetTable, table: string): TargetTable => ({
    ...replica,
    name: { schema: 'public', table: 'other' },
    target: { database, table },
  });

  test('by another table, or by the same one of another pipeline', async () => {
    const table = orders();
    await createTarget(ch, table);
    for (const taker of [other(table, table.target.table), { ...table, pipeline: 'staging' }])
      await expect(createTarget(ch, taker)).rejects.toMatchObject({
        kind: 'TargetTaken',
        message: expect.stringContaining(`default/public.${table.name.table}`),
      });
  });

  test('although a user made it: the floor beside it tells whose it is', async () => {
    const table = orders();
    await sql(
      `create table ${database}.${table.target.table} (id Int64, amount Decimal(10, 2), note Nullable(String), _version UInt128, _deleted UInt8) engine = ReplacingMergeTree(_version, _deleted) order by id`,
    );
    await createTarget(ch, table);
    await expect(createTarget(ch, other(table, table.target.table))).rejects.toMatchObject({ kind: 'TargetTaken' });
  });

  test.each(['floor', 'current'])('because it is the %s of another', async (suffix) => {
    const table = orders();
    await createTarget(ch, table);
    for (const taker of [
      other(table, `${table.target.table}_${suffix}`),
      { ...table, target: { database, table: `${table.target.table}_${suffix}` } },
    ])
      await expect(createTarget(ch, taker)).rejects.toMatchObject({ kind: 'TargetTaken' });
  });

  test.each(['floor', 'current'])('because its %s would be the target of another', async (suffix) => {
    const table = orders();
    await createTarget(ch, other(table, `${table.target.table}_${suffix}`));
    await expect(createTarget(ch, table)).rejects.toMatchObject({ kind: 'TargetTaken' });
    expect(await inDatabase(table.target.table)).not.toContain(table.target.table);
  });

  test('by something else of a user', async () => {
    const table = orders();
    await sql(`create view ${database}.${table.target.table} as select 1 as id`);
    await expect(createTarget(ch, table)).rejects.toMatchObject({ kind: 'TargetTaken' });
  });

  test('is not dropped by the one that did not get it', async () => {
    const table = orders();
    await createTarget(ch, table);
    await dropTarget(ch, { ...table, pipeline: 'staging' });
    expect(await inDatabase(table.target.table)).toHaveLength(3);
    await dropTarget(ch, table);
    await dropTarget(ch, table);
    expect(await inDatabase(table.target.table)).toEqual([]);
  });

  describe('by a mark of an older release, which names no deployment', () => {
    const made = async (): Promise<TargetTable> => {
      const table = orders();
      await createTarget(ch, table);
      return { ...table, deployment: 'one' };
    };
    const comments = async ({ target: { table } }: TargetTable): Promise<string[]> =>
      (
        await rowsOf<{ comment: string }>(
          sink,
          `select comment from system.tables where database = '${database}' and name like '${table}%' order by name`,
        )
      ).map(({ comment }) => comment);

    test('is refused to a table that is new in its deployment, and not dropped by it', async () => {
      const table = await made();
      const before = await comments(table);
      const { shown } = targetNames(table.target);
      await expect(createTarget(ch, table)).rejects.toMatchObject({
        kind: 'TargetTaken',
        message: expect.stringContaining(`The ClickHouse name ${shown} is taken: an older release made it`),
        remedy: expect.stringMatching(
          new RegExp(`--target NAME. If no other deployment loads it, drop ${shown}, ${shown}_current`, 'u'),
        ),
      });
      const { dropped, kept } = await dropTarget(ch, table);
      expect(dropped).toEqual([]);
      expect(kept).toHaveLength(3);
      expect(await comments(table)).toEqual(before);
    });

    test('stays with the table that had it, whether its marks were renewed or not', async () => {
      const table = { ...(await made()), oldMarks: true };
      await createTarget(ch, table);
      await renewMarks(ch, table, pino({ level: 'silent' }));
      expect((await comments(table))[0]).toBe(`pg2click one default/public.${table.name.table}`);
      expect((await dropTarget(ch, { ...table, oldMarks: false })).dropped).toHaveLength(3);
      const other = { ...(await made()), oldMarks: true };
      expect((await dropTarget(ch, other)).dropped).toHaveLength(3);
    });
  });

  test('by two at once goes to one of them', async () => {
    const table = orders();
    const takers = ['one', 'two', 'three', 'four'].map((pipeline) => ({ ...table, pipeline }));
    const results = await Promise.allSettled(takers.map((taker) => createTarget(ch, taker)));
    const won = results.filter(({ status }) => status === 'fulfilled');
    const lost = results.filter((result) => result.status === 'rejected');
    expect(won).toHaveLength(1);
    for (const { reason } of lost) expect(reason).toMatchObject({ kind: 'TargetTaken' });
  });
});

describe('what a target remembers', () => {
  test('is nothing without a table, or in one of another shape', async () => {
    const table = orders();
    expect(await sinkState(ch, table.target)).toEqual({ exists: false, highest: null });
    expect(await highestGeneration(ch, table.target)).toBe(0);
    await sql(`create table ${database}.${table.target.table} (id Int64) engine = MergeTree order by id`);
    expect(await highestGeneration(ch, table.target)).toBe(0);
    expect(await highestGeneration(ch, { database: 'nowhere', table: 'x' })).toBe(0);
  });

  test('is the highest version of table and floor, tombstones included', async () => {
    const table = orders();
    await createTarget(ch, table);
    expect(await sinkState(ch, table.target)).toEqual({ exists: true, highest: null });
    const version = (generation: bigint, seq: bigint): bigint => (generation << 120n) | (seq << 64n);
    await sql(
      `insert into ${database}.${table.target.table} (id, _version, _deleted) values (1, ${version(2n, 7n)}, 0), (2, ${version(2n, 9n)}, 1)`,
    );
    expect(await sinkState(ch, table.target)).toEqual({ exists: true, highest: version(2n, 9n) });
    await sql(`insert into ${database}.${table.target.table}_floor (version) values (${version(3n, 1n)})`);
    expect(await sinkState(ch, table.target)).toEqual({ exists: true, highest: version(3n, 1n) });
    expect(await highestGeneration(ch, table.target)).toBe(3);
    await sql(`drop table ${database}.${table.target.table} sync`);
    expect(await sinkState(ch, table.target)).toEqual({ exists: false, highest: version(3n, 1n) });
  });
});
