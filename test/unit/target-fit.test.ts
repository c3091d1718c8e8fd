import { describe, expect, test } from 'vitest';
import type { TargetTable } from '../../src/domain/replicated-table.js';
import { findMisfits, readIdentifiers } from '../../src/clickhouse/fit.js';
import type { Misfit } from '../../src/clickhouse/misfit.js';
import type { SinkColumn } from '../../src/clickhouse/catalog.js';
import { ownerMark, quoteText } from '../../src/clickhouse/names.js';

test.each([
  ['id', ['id']],
  ['(id)', ['id']],
  ['id, `my id`', ['id', 'my id']],
  ['(`a``b`, `c\\`d`, `e\\\\f`)', ['a`b', 'c`d', 'e\\f']],
  ['`a, b`, c', ['a, b', 'c']],
  ['', []],
  ['intDiv(id, 2)', undefined],
  ['id, toDate(at)', undefined],
  ['id desc', undefined],
])('a key printed as %j reads as %j', (text, names) => {
  expect(readIdentifiers(text)).toEqual(names);
});

describe('an engine', () => {
  const table = {
    columns: [{ name: 'id', type: 'bigint', position: 1, nullable: false }],
    key: ['id'],
    target: { database: 'd', table: 't' },
  } as unknown as TargetTable;
  const column = (name: string, type: string): SinkColumn => ({ name, type, defaultKind: '', inPartitionKey: false });
  const columns = [column('id', 'Int64'), column('_version', 'UInt128'), column('_deleted', 'UInt8')];
  const misfits = (engineFull: string): readonly Misfit[] =>
    findMisfits(table, { engine: engineFull.split('(')[0] ?? '', engineFull, sortingKey: 'id', comment: '' }, columns);

  test.each([
    'ReplacingMergeTree(_version, _deleted) ORDER BY id',
    `SharedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', _version, _deleted) ORDER BY id`,
    `ReplicatedReplacingMergeTree('/clickhouse/tables/a\\'b', '{replica}', _version, _deleted) ORDER BY id`,
    'ReplacingMergeTree(_version, _deleted) ORDER BY id TTL at + toIntervalDay(1) WHERE _deleted = 0 SETTINGS index_granularity = 8192',
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
