import { describe, expect, test } from 'vitest';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { findMisfits } from '../../src/clickhouse/fit.js';
import { missingKey, splitList } from '../../src/domain/target-layout.js';
import type { Misfit } from '../../src/clickhouse/misfit.js';
import type { SinkColumn } from '../../src/clickhouse/catalog.js';
import { ownerMark, quoteText } from '../../src/clickhouse/names.js';

test.each([
  ['id', ['id']],
  ['(id)', ['id']],
  ['id, `my id`', ['id', 'my id']],
  ['(`a``b`, `c\\`d`, `e\\\\f`)', ['a`b', 'c`d', 'e\\f']],
  ['`a, b`, c', ['a, b', 'c']],
  ['`it\'s "my" id`, "a`b"', ['it\'s "my" id', 'a`b']],
  ['c, toDate(at), b', ['b', 'c']],
  ['f(a, (b)), "id"', ['id']],
])('a table that is ordered by %j has the key %j', (text, names) => {
  expect(missingKey(text, names)).toEqual([]);
});

test.each(['', 'intDiv(id, 2)', 'id desc', '`my id`', "'id'", 'f(a, id)', '[id]'])(
  'a table that is ordered by %j lacks the key "id"',
  (text) => {
    expect(missingKey(text, ['id'])).toEqual(['id']);
  },
);

test.each([
  ['a, b', ['a', 'b']],
  ['((a, b))', ['a', 'b']],
  ['(a), (b)', ['(a)', '(b)']],
  ["f(a, ')'), 'it''s, so', b", ["f(a, ')')", "'it''s, so'", 'b']],
  ['', []],
])('the list %j has the items %j', (text, items) => {
  expect(splitList(text)).toEqual(items);
});

describe('an engine', () => {
  const table = {
    columns: [{ name: 'id', type: 'bigint', position: 1, nullable: false }],
    key: ['id'],
    target: { database: 'd', table: 't' },
  } as unknown as TargetTable;
  const column = (name: string, type: string): SinkColumn => ({
    name,
    type,
    defaultKind: '',
    inPartitionKey: false,
    inSortingKey: name === 'id',
  });
  const columns = [column('id', 'Int64'), column('_version', 'UInt128'), column('_deleted', 'UInt8')];
  const misfits = (engineFull: string): readonly Misfit[] =>
    findMisfits(table, { engine: engineFull.split('(')[0] ?? '', engineFull, sortingKey: 'id', comment: '' }, columns);

  test.each([
    'ReplacingMergeTree(_version, _deleted) ORDER BY id',
    `SharedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', _version, _deleted) ORDER BY id`,
    `ReplicatedReplacingMergeTree('/clickhouse/tables/a\\'b', '{replica}', _version, _deleted) ORDER BY id`,
    'ReplacingMergeTree(_version, _deleted) ORDER BY id TTL at + toIntervalDay(1) WHERE _deleted = 0 SETTINGS index_granularity = 8192',
    `ReplacingMergeTree(_version, _deleted) ORDER BY id TTL at + toIntervalDay(1) TO DISK 'cold', at + toIntervalDay(2) RECOMPRESS CODEC(ZSTD(9)), at + toIntervalDay(3) WHERE _deleted = 0`,
  ])('fits: %s', (engine) => {
    expect(misfits(engine)).toEqual([]);
  });

  test.each([
    'MergeTree ORDER BY id',
    'ReplacingMergeTree ORDER BY id',
    'ReplacingMergeTree(_version) ORDER BY id',
    'ReplacingMergeTree(_deleted, _version) ORDER BY id',
    'CoalescingMergeTree ORDER BY id',
    `ReplicatedReplacingMergeTree('/path', '{replica}', updated_at) ORDER BY id`,
    'ReplacingMergeTree(_version, _deleted) ORDER BY id TTL at + toIntervalDay(1) SETTINGS index_granularity = 8192',
    'ReplacingMergeTree(_version, _deleted) ORDER BY id TTL at + toIntervalDay(1) WHERE _deleted = 0, at + toIntervalDay(9)',
    'ReplacingMergeTree(_version, _deleted) ORDER BY id SETTINGS enable_replacing_merge_with_cleanup_for_min_age_to_force_merge = 1',
  ])('does not fit: %s', (engine) => {
    expect(misfits(engine)).toHaveLength(1);
  });
});

test('a mark tells table, floor and view apart, whatever the table is called', () => {
  const replica = (table: string) => ({ pipeline: 'default', name: { schema: 'public', table } });
  expect(ownerMark(replica('orders'), 'floor')).toBe('pg2click default/public.orders floor');
  expect(ownerMark(replica('orders floor'), 'table')).toBe('pg2click default/public."orders floor"');
});

test('a text of ClickHouse keeps its quotes and backslashes', () => {
  expect(quoteText(`it's a \\ test`)).toBe(`'it\\'s a \\\\ test'`);
});
