import type { ClickHouseClient } from '@clickhouse/client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { compareTable, isEqual } from '../../dev/compare/compare.js';
import { startBackfill } from '../../activities/change-backfills.js';
import { copyTable } from '../../activities/copy-table.js';
import type { TableOptions, TargetTable } from '../../src/domain/replicated-table.js';
import type { Failure } from '../../src/failure/failure.js';
import { dropTarget } from '../../src/clickhouse/drop-target.js';
import { createTarget } from '../../src/clickhouse/target.js';
import { failureOf } from '../support/failure-of.js';
import { openPath, type Followed, type Path } from '../support/path.js';
import { column, targetTableOf } from '../support/sink.js';
import { freshName, waitFor } from '../support/stack.js';

// Each table is copied, changed and compared several times.
vi.setConfig({ testTimeout: 240_000 });

let path: Path;
beforeAll(async () => {
  path = await openPath();
  await path.source.query(
    `do $$ begin execute format('alter default privileges grant select on sequences to %I', '${path.settings.postgres.user}'); end $$`,
  );
});
afterAll(() => path.close());

const run = (table: string, sql: string) => path.source.query(sql.replaceAll(/\bT\b/gu, table));

/** Row n of tenant n % 5; a day of each of 160 months, this month the last. */
async function make(rows = 800): Promise<string> {
  const table = freshName('lines');
  await run(
    table,
    /* sql */ `create table T (tenant int, id int, day date not null, status text not null, note text,
      total numeric(10, 2) not null, at timestamptz not null, primary key (tenant, id, day))`,
  );
  await run(table, rowsSql(1, rows));
  return table;
}

const rowsSql = (first: number, last: number): string => /* sql */ `insert into T
  select n % 5, n, current_date - make_interval(months => n % 160), 's' || n % 3, nullif('note ' || n, 'note 7'), n / 4.0,
    now() - make_interval(days => n) from generate_series(${first}, ${last}) n`;

/** Each by itself: an UPDATE, a key that becomes another one, a DELETE, and a deleted key that comes again. */
const CHANGES: readonly string[] = [
  rowsSql(1_001, 1_100),
  `update T set status = 'changed', note = null, total = total + 1, at = at - interval '9 years' where id % 3 = 0`,
  `update T set day = day + 400, tenant = tenant + 1 where id % 7 = 0`,
  `delete from T where id % 5 = 0`,
  `insert into T select n % 5, n, current_date, 'again', null, 0, now() from generate_series(5, 100, 5) n`,
];

async function follow(table: string, options: TableOptions): Promise<Followed> {
  const followed = await path.add(table, { transport: 'direct', ...options });
  await followed.copy();
  await followed.expectEqual();
  return followed;
}

async function change(table: string, followed: Followed): Promise<void> {
  for (const [index, statement] of CHANGES.entries()) {
    await run(table, statement);
    if (index % 2 === 0) await followed.settle();
  }
  await followed.expectEqual();
}

/** The only way in which the table is printed. */
const storage = (followed: Followed): Promise<string> =>
  followed.sink(
    `select engine_full from system.tables where database = currentDatabase() and name = '${followed.name.table}'`,
  );

const WAYS: readonly (readonly [string, TableOptions, RegExp])[] = [
  ['ordered by the key in another order', { orderBy: 'day, id, tenant' }, /ORDER BY \(day, id, tenant\)/u],
  [
    'ordered by functions of the key too, through Kafka',
    { orderBy: '(toYYYYMM(day), id, tenant, day)', transport: 'kafka', format: 'packed' },
    /ORDER BY \(+toYYYYMM\(day\), id, tenant, day\)/u,
  ],
  [
    'partitioned by the key into 160 partitions, more than a server takes in one block',
    { partitionBy: 'toYYYYMM(day) -- a month' },
    /PARTITION BY \(toYYYYMM\(day\)\)/u,
  ],
  [
    'partitioned and ordered, loaded by the Kafka engine',
    {
      partitionBy: '(tenant % 4, toYear(day))',
      orderBy: 'id, day, tenant',
      transport: 'kafka',
      loader: 'kafka-engine',
    },
    /ORDER BY \(id, day, tenant\)/u,
  ],
  [
    'with a TTL over the key, codecs, and texts of few values',
    {
      ttl: 'day + interval 100 year',
      codecs: { total: 'Delta, ZSTD(3)', note: 'ZSTD(9)', id: 'T64, LZ4' },
      lowCardinality: ['status', 'note'],
    },
    /TTL \(day \+ toIntervalYear\(100\)\) WHERE _deleted = 0/u,
  ],
];

describe('a target', () => {
  it.each(WAYS)('%s is equal after updates, deletions and other keys', async (_name, options, printed) => {
    const table = await make();
    const followed = await follow(table, options);
    expect(await storage(followed)).toMatch(printed);
    await change(table, followed);
    // Of one key all versions are in one partition.
    const rows = await followed.sink(`select count() from {current}`);
    expect(
      await followed.sink(`select count() from {current} settings do_not_merge_across_partitions_select_final = 1`),
    ).toBe(rows);
    await followed.sink(`optimize table {target} final`);
    await followed.expectEqual();
    expect(await followed.sink(`select count() from {target} where _deleted`), 'tombstones stay').not.toBe('0');
  });

  it('is filled anew in all of that by a resync, and a range of it is pruned', async () => {
    const table = await make();
    const options = {
      orderBy: 'day, id, tenant',
      partitionBy: 'toYear(day)',
      ttl: 'day + interval 100 year',
      codecs: { total: 'ZSTD(3)' },
      lowCardinality: ['status'],
    };
    const followed = await follow(table, options);
    const before = await storage(followed);
    await followed.sink(`alter table {target} delete where id % 10 = 7 settings mutations_sync = 1`);
    const { stage } = await followed.call(startBackfill, { resync: true, keepOld: false, requestId: 'again' });
    await run(table, CHANGES[1] ?? '');
    while ((await followed.slice(copyTable, stage)).finished !== true) await followed.settle();
    await followed.expectEqual();
    expect(await storage(followed)).toBe(before);
    await change(table, followed);

    await followed.sink(
      `insert into {target} (tenant, id, day, status, total, at, _version)
        select 1, 1000000 + id, day, '', 0, at, _version from {target} where tenant = 1 limit 10`,
    );
    const prune = { prune: true, from: '[1, 0, "2000-01-01"]', to: '[2, 0, "2000-01-01"]', requestId: 'prune' };
    const { stage: pruning } = await followed.call(startBackfill, prune);
    while ((await followed.slice(copyTable, pruning)).finished !== true) await followed.settle();
    await followed.expectEqual();
  });

  it('of a table that only grows is ordered and partitioned by any column', async () => {
    const table = freshName('grows');
    await run(table, `create table T (id bigint generated always as identity primary key, day date not null, v text)`);
    await run(table, `insert into T (day, v) select current_date - n, 'v' from generate_series(1, 3000) n`);
    const followed = await path.add(table, {
      capture: 'poll',
      engine: 'merge-tree',
      orderBy: 'toStartOfMonth(day), id',
      partitionBy: 'toYYYYMM(day)',
      ttl: 'day + interval 100 year',
    });
    await followed.expectEqual();
    await run(table, `insert into T (day, v) select current_date, 'w' from generate_series(1, 100) n`);
    await followed.expectEqual();
    expect(await storage(followed)).toMatch(
      /^MergeTree PARTITION BY .*ORDER BY .*TTL \(day \+ toIntervalYear\(100\)\) SETTINGS/u,
    );
  });
});

describe('what would break the replica is refused before anything is made:', () => {
  it.each<readonly [string, TableOptions, RegExp]>([
    ['a key column that is left out', { orderBy: 'id, day' }, /lacks the key column tenant/u],
    [
      'an order by a column outside of the key',
      { orderBy: 'status, tenant, id, day' },
      /outside of the key \(tenant, id, day\): a deletion knows the key alone/u,
    ],
    [
      'partitions by a column outside of the key',
      { partitionBy: 'toYYYYMM(at)' },
      /--partition-by toYYYYMM\(at\) uses a column outside of the key/u,
    ],
    ['a TTL over a column that may change', { ttl: 'toDateTime(at) + interval 1 year' }, /say so with --constant-ttl/u],
    [
      'a column that may be NULL',
      { orderBy: 'tenant, id, day, note' },
      /ClickHouse refuses --order-by .*: Sorting key contains nullable columns/u,
    ],
    [
      'an unknown column',
      { partitionBy: 'toYYYYMM(dya)' },
      /ClickHouse refuses --partition-by toYYYYMM\(dya\): Missing columns: 'dya'[^,]*\.$/u,
    ],
    ['a function that changes', { partitionBy: 'rand()' }, /must be deterministic/u],
    ['a syntax error', { orderBy: 'tenant, id, day, toYYYYMM(day' }, /ClickHouse refuses --order-by/u],
    ['clauses of others', { partitionBy: 'tenant) order by (id' }, /ClickHouse refuses --partition-by/u],
    ['two TTLs', { ttl: 'day + interval 1 day, day + interval 2 day' }, /ClickHouse refuses --ttl/u],
    ['a TTL that is no time', { ttl: 'id' }, /ClickHouse refuses --ttl id: /u],
    ['a promise about nothing', { constantTtl: true }, /give both/u],
    ['no expression', { orderBy: ' ' }, /--order-by needs an expression/u],
    [
      'a codec of another type',
      { codecs: { note: 'Delta' } },
      /ClickHouse refuses --codec note=Delta: Codec Delta is not applicable/u,
    ],
    [
      'numbers with LowCardinality',
      { lowCardinality: ['total'] },
      /Decimal\(10, ?2\) in ClickHouse, and LowCardinality is for texts/u,
    ],
    ['a codec of no column', { codecs: { nots: 'ZSTD' } }, /has no column "nots"/u],
  ])('%s', async (_name, options, message) => {
    const table = await make(1);
    const failure = await failureOf(() => path.add(table, { transport: 'direct', ...options }));
    expect(failure).toMatchObject({ kind: 'UnsuitableTable', message: expect.stringMatching(message) as string });
    const made = await path.deps.clickhouse.query({
      query: `select count() as n from system.tables where name like '${table}%'`,
      format: 'TabSeparated',
    });
    expect((await made.text()).trim()).toBe('0');
  });
});

describe('a TTL', () => {
  const expired = `day < current_date - 365`;
  const TTL = 'day + interval 365 day';
  const compare = ({ name }: Followed) =>
    compareTable({
      postgres: path.source,
      clickhouse: path.deps.clickhouse,
      table: name,
      where: `not (${expired} or day = current_date - 365)`,
      view: { database: path.settings.clickhouse.database, table: `${name.table}_current` },
    });

  it('hides a row when it expires, deletes it when ClickHouse merges, and neither is taken for a loss', async () => {
    const table = await make(800);
    const followed = await path.add(table, { transport: 'direct', ttl: TTL });
    await followed.copy();
    await followed.settle();
    expect(await compare(followed)).toSatisfy(isEqual);
    // The newest change of all is to a row that expires at once.
    for (let round = 1; round <= 3; round += 1) {
      await run(table, `update T set note = 'changed ' || ${round} where id % 4 = ${round % 2}`);
      await run(table, `update T set note = 'last ' || ${round} where ${expired}`);
      await followed.settle();
      await followed.sink('optimize table {target} final');
      expect(await followed.sink(`select count() from {target} where ${TTL} <= now() and _deleted = 0`)).toBe('0');
      await followed.settle();
      followed.forget();
      expect(await compare(followed)).toSatisfy(isEqual);
    }
    await run(table, `delete from T where id % 3 = 0`);
    await run(table, `delete from T where ${expired}`);
    await followed.settle();
    expect(await compare(followed)).toSatisfy(isEqual);
  });

  it('over a column that an UPDATE may set back brings an older version back: why that is refused', async () => {
    const table = await make(10);
    const followed = await path.add(table, {
      transport: 'direct',
      ttl: 'toDateTime(at) + interval 1 year',
      constantTtl: true,
    });
    await followed.copy();
    await followed.settle();
    await run(table, `update T set note = 'new', at = now() - interval '2 years' where id = 3`);
    await followed.settle();
    // A part of its own, whose rows are all expired, is the first that ClickHouse takes away.
    await waitFor(async () => (await followed.sink(`select count() from {target} where note = 'new'`)) === '0', {
      deadlineMs: 20_000,
      what: 'the expired version to go',
    });
    expect(await followed.sink('select note from {current} where id = 3')).toBe('note 3');
  });
});

describe('a table that is there already', () => {
  const COLUMNS = `(tenant Int32, id Int32, day Date32, status String, note Nullable(String), total Decimal(10, 2),
    at DateTime64(6, 'UTC'), _version UInt128, _deleted UInt8)`;
  const create = async (table: string, rest: string): Promise<void> => {
    await path.deps.clickhouse.command({
      query: `create table ${path.settings.clickhouse.database}.${table} ${COLUMNS} engine = ReplacingMergeTree(_version, _deleted) ${rest}`,
    });
  };

  it('of a user may be ordered by the key in any order, and by functions of it', async () => {
    const table = await make(200);
    await create(
      table,
      'partition by toYear(day) primary key (toYYYYMM(day)) order by (toYYYYMM(day), day, id, tenant)',
    );
    const followed = await follow(table, {});
    await change(table, followed);
  });

  it.each<readonly [string, string, TableOptions, RegExp, RegExp]>([
    [
      'order',
      'order by (tenant, id, day)',
      { orderBy: 'day, id, tenant' },
      /it is ordered by tenant, id, day, not by day, id, tenant/u,
      /No ALTER changes all of that/u,
    ],
    [
      'partitions',
      'order by (tenant, id, day)',
      { partitionBy: 'toYear(day)' },
      /it is partitioned by nothing, not by toYear\(day\)/u,
      /drop the table/u,
    ],
    [
      'TTL',
      'order by (tenant, id, day)',
      { ttl: 'day + interval 9 year' },
      /cleared by the TTL nothing/u,
      /alter table .* modify ttl \(day \+ toIntervalYear\(9\)\) WHERE _deleted = 0\. Then run/u,
    ],
  ])('with another %s than was asked for is refused', async (_what, rest, options, message, remedy) => {
    const table = await make(1);
    await create(table, rest);
    const failure = await failureOf(() => path.add(table, { transport: 'direct', ...options }));
    expect(failure).toMatchObject({
      kind: 'SchemaMismatch',
      message: expect.stringMatching(message) as string,
      remedy: expect.stringMatching(remedy) as string,
    });
    expect((failure as Failure).remedy).not.toContain('undefined');
  });

  it('of an earlier life of the table keeps its order: the same one is taken, another is refused', async () => {
    const table = await make(100);
    const options: TableOptions = {
      transport: 'direct',
      orderBy: 'day, id, tenant',
      partitionBy: '(toYear(day), tenant)',
      ttl: 'day + INTERVAL 99 YEAR',
    };
    await (await follow(table, options)).remove();
    await run(table, `delete from T where id % 2 = 0`);
    const again = await follow(table, options);
    await again.remove();
    await again.sink(`alter table {target} modify ttl (day + interval 1 day) delete where _deleted = 0`);
    await (await path.add(table, { ...options, ttl: 'day + interval 1 day' })).remove();
    expect(await again.sink(`show create table {current}`)).toContain('toIntervalDay(1)');
    await again.sink(`alter table {target} remove ttl`);
    await (await follow(table, { ...options, ttl: undefined })).remove();
    expect(await failureOf(() => path.add(table, { ...options, partitionBy: 'tenant' }))).toMatchObject({
      kind: 'SchemaMismatch',
    });
  });
});

it('a column that the table is ordered by parks where it gets NULL: the sentence says the way out', async () => {
  const table = freshName('grows');
  await run(table, `create table T (id bigint generated always as identity primary key, n int not null, v text)`);
  await run(table, `insert into T (n, v) select n, 'v' from generate_series(1, 10) n`);
  const followed = await path.add(table, { capture: 'poll', engine: 'merge-tree', orderBy: 'n, id' });
  await followed.expectEqual();
  await run(table, `alter table T alter n drop not null`);
  await run(table, `insert into T (n, v) values (null, 'w')`);
  expect(await failureOf(() => followed.settle())).toMatchObject({
    kind: 'SchemaMismatch',
    message: expect.stringMatching(/is ordered or partitioned by that column/u) as string,
    remedy: expect.stringMatching(
      /pg2click remove public.* --drop-target, then pg2click add public.* --capture poll .*--engine merge-tree --order-by 'n, id'/u,
    ) as string,
  });
});

describe('on a cluster', () => {
  /**
   * The server of the tests has no cluster. It parses each statement as it is sent, and runs it without the words that need one; asked for
   * its clusters it answers with those given.
   */
  function withCluster(ch: ClickHouseClient, sent: string[], clusters: string): ClickHouseClient {
    const alone = (query: string): string =>
      query.replaceAll(' on cluster `two`', '').replaceAll('= ReplicatedReplacing', '= Replacing');
    return new Proxy(ch, {
      get(target, name, receiver) {
        if (name === 'query')
          return (params: Parameters<typeof ch.query>[0]) =>
            target.query({
              ...params,
              query: params.query.replace(
                'from system.clusters',
                `from values('cluster String, shard_num UInt32', ${clusters})`,
              ),
            });
        if (name !== 'command') return Reflect.get(target, name, receiver) as unknown;
        return async (params: Parameters<typeof ch.command>[0]) => {
          sent.push(params.query.trim().replaceAll(/\s+/gu, ' '));
          await target.command({ ...params, query: `explain ast ${params.query}` });
          return target.command({ ...params, query: alone(params.query) });
        };
      },
    });
  }

  const layout = { cluster: 'two', orderBy: 'day, id' };
  const owner = (): TargetTable =>
    targetTableOf(
      { ch: path.deps.clickhouse, database: path.settings.clickhouse.database },
      [column('id', 'integer'), column('day', 'date')],
      { key: ['id', 'day'], layout },
    );

  it('all objects are made and dropped on every server, tables as replicas', async () => {
    const table = owner();
    const sent: string[] = [];
    const ch = withCluster(path.deps.clickhouse, sent, `('two', 1), ('two', 1)`);
    await createTarget(ch, table);
    const made = sent.filter((statement) => !statement.includes('temporary'));
    expect(made).toHaveLength(3);
    for (const statement of made)
      expect(statement).toMatch(/^create (?:table|view) if not exists \S+ on cluster `two` /u);
    expect(made.filter((statement) => statement.includes('engine = ReplicatedReplacingMergeTree'))).toHaveLength(2);
    sent.length = 0;
    expect((await dropTarget(ch, table)).dropped).toHaveLength(3);
    for (const statement of sent)
      expect(statement).toMatch(/^drop (?:table|view) if exists \S+ on cluster `two` settings/u);
  });

  it.each([
    ['that nobody knows', `('other', 1)`, /ClickHouse knows no cluster two/u],
    ['with shards', `('two', 1), ('two', 2)`, /has 2 shards, and all rows of a table go to one/u],
  ])('one %s is refused', async (_what, clusters, message) => {
    const sent: string[] = [];
    await expect(createTarget(withCluster(path.deps.clickhouse, sent, clusters), owner())).rejects.toMatchObject({
      kind: 'UnsuitableTable',
      message: expect.stringMatching(message) as string,
    });
    expect(sent).toEqual([]);
  });

  it.each<TableOptions>([
    { capture: 'poll', engine: 'merge-tree' },
    { loader: 'kafka-engine', transport: 'kafka' },
  ])('%j does not go', async (options) => {
    const table = freshName('grows');
    await run(table, `create table T (id bigint generated always as identity primary key)`);
    expect(await failureOf(() => path.add(table, { ...options, cluster: 'two' }))).toMatchObject({
      kind: 'UnsuitableTable',
      message: expect.stringMatching(/Leave --cluster or/u) as string,
    });
  });
});
