import { describe, expect, it } from 'vitest';
import { refuseTargetOptions } from '../../src/cli/refuse-target-options.js';
import { findOtherLayout } from '../../src/clickhouse/fit.js';
import { clausesIn, deletesByTtl, storageSql } from '../../src/clickhouse/storage-sql.js';
import { describeLayout, flawOfLayout, layoutOf, type TargetLayout } from '../../src/domain/target-layout.js';

const columns = [
  { name: 'id', position: 1, type: 'bigint', nullable: false, shown: 'Order Id' },
  { name: 'day', position: 2, type: 'date', nullable: false },
];
const table = { columns, key: ['id', 'day'], target: { database: 'd', table: 't' } };
const text = (sql: string): string => sql.replaceAll(/\s+/gu, ' ');

describe('the storage of a target', () => {
  it('is ordered by the key where nothing was chosen', () => {
    expect(layoutOf({})).toBeUndefined();
    expect(text(storageSql(table))).toBe(
      'engine = ReplacingMergeTree(_version, _deleted) order by (`Order Id`, `day` )',
    );
  });

  it('has what was chosen, and a TTL that spares tombstones', () => {
    const layout = layoutOf({ orderBy: ' day, "Order Id" ', partitionBy: 'toYear(day)', ttl: 'day + interval 1 year' });
    expect(text(storageSql({ ...table, ...(layout && { layout }) }))).toBe(
      'engine = ReplacingMergeTree(_version, _deleted) partition by (toYear(day) ) order by (day, "Order Id" ) ' +
        'ttl (day + interval 1 year ) delete where _deleted = 0',
    );
    expect(text(storageSql({ ...table, engine: 'merge-tree', layout: { ttl: 'day' } }))).toBe(
      'engine = MergeTree order by (`Order Id`, `day` ) ttl (day )',
    );
  });

  it('is shown as the options that were given', () => {
    expect(describeLayout({ orderBy: 'day, id', ttl: 'day', constantTtl: true, cluster: 'two' })).toBe(
      '--order-by day, id; --ttl day; --constant-ttl; --cluster two',
    );
    expect(describeLayout(undefined)).toBeNull();
  });

  it.each<readonly [TargetLayout, RegExp | undefined]>([
    [{ orderBy: 'day, `Order Id`' }, undefined],
    [{ orderBy: 'toYear(day), (day), "Order Id"' }, /lacks the key column day/u],
    [{ orderBy: 'day, id' }, /lacks the key column Order Id/u],
    [{ orderBy: '' }, /--order-by needs/u],
    [{ partitionBy: '' }, /--partition-by needs/u],
    [{ constantTtl: true }, /give both/u],
  ])('%j is judged by its text', (layout, flaw) => {
    const found = flawOfLayout(layout, table, { versions: true });
    if (flaw === undefined) expect(found).toBeUndefined();
    else expect(found).toMatch(flaw);
    if (layout.orderBy !== undefined && layout.orderBy !== '')
      expect(flawOfLayout(layout, table, { versions: false }), 'where rows are never replaced').toBeUndefined();
  });

  it('is compared clause by clause, and only where something was chosen', () => {
    const has =
      'ReplacingMergeTree(_version, _deleted) PARTITION BY (a) ORDER BY (id, day) SETTINGS index_granularity = 8192';
    const wanted =
      'CREATE TABLE t (`c` UInt8) ENGINE = MergeTree PARTITION BY a ORDER BY id TTL (day) WHERE _deleted = 0';
    const asked = { orderBy: 'id', partitionBy: 'a', ttl: 'day' };
    expect(findOtherLayout({ ...table, layout: {} }, has, wanted)).toEqual([]);
    expect(findOtherLayout({ ...table, layout: asked }, has, wanted)).toEqual([
      { what: 'it is ordered by id, day, not by id' },
      {
        what: 'it is cleared by the TTL nothing, not by (day) WHERE _deleted = 0',
        sql: 'alter table `d`.`t` modify ttl (day) WHERE _deleted = 0',
      },
    ]);
    expect([...clausesIn(has).keys()]).toEqual(['PARTITION BY', 'ORDER BY', 'SETTINGS']);
  });

  it.each([
    ['MergeTree ORDER BY id', false],
    [`MergeTree ORDER BY id TTL a + toIntervalDay(1) TO DISK 'cold' SETTINGS x = 1`, false],
    ['MergeTree ORDER BY id TTL a RECOMPRESS CODEC(ZSTD(9)), a + toIntervalDay(1) SETTINGS x = 1', true],
  ])('%s deletes by its TTL: %j', (engineFull, deletes) => {
    expect(deletesByTtl(engineFull)).toBe(deletes);
  });
});

it.each([
  [{ orderBy: 'a' }, /does not change the sorting key/u, /remove public\.t --drop-target, then add/u],
  [{ partitionBy: 'a' }, /the partitions or the replication/u, /--drop-target/u],
  [{ ttl: 'a' }, /its view has it too/u, /remove public\.t, then add it with the --ttl/u],
  [{ codec: 'a=LZ4' }, /does not change columns/u, /alter table TABLE modify column/u],
])('configure refuses %j with the way out', (given, message, remedy) => {
  const refused = (): void => refuseTargetOptions({ schema: 'public', table: 't' }, given);
  expect(refused).toThrow(message);
  expect(refused).toThrow(
    expect.objectContaining({ kind: 'Misconfigured', remedy: expect.stringMatching(remedy) as string }),
  );
});
