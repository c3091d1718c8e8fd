import { describe, expect, it } from 'vitest';
import { columnType, targetColumns } from '../../src/domain/column-type.js';
import type { Column } from '../../src/domain/replicated-table.js';
import { readNumericModifier } from '../../src/source/catalog/catalog.js';

const column = (type: string, more: Partial<Column> = {}): Column => ({
  name: 'c',
  position: 1,
  type,
  nullable: false,
  ...more,
});

describe('the type of a column', () => {
  it.each([
    ['bigint', 'Int64', 'Nullable(Int64)', true],
    ['integer', 'Int32', 'Nullable(Int32)', true],
    ['smallint', 'Int16', 'Nullable(Int16)', true],
    ['boolean', 'Bool', 'Nullable(Bool)', true],
    ['text', 'String', 'Nullable(String)', true],
    ['character varying', 'String', 'Nullable(String)', true],
    ['double precision', 'Float64', 'Nullable(Float64)', false],
    ['real', 'Float32', 'Nullable(Float32)', false],
    ['date', 'Date32', 'Nullable(Date32)', true],
    ['timestamp without time zone', `DateTime64(6, 'UTC')`, `Nullable(DateTime64(6, 'UTC'))`, true],
    ['timestamp with time zone', `DateTime64(6, 'UTC')`, `Nullable(DateTime64(6, 'UTC'))`, true],
    ['uuid', 'UUID', 'Nullable(UUID)', true],
    ['json', 'String', 'Nullable(String)', false],
    ['jsonb', 'String', 'Nullable(String)', false],
    ['enum', 'LowCardinality(String)', 'LowCardinality(Nullable(String))', true],
    ['character', 'String', 'Nullable(String)', true],
    ['money', 'Decimal(23, 4)', 'Nullable(Decimal(23, 4))', false],
    ['oid', 'UInt32', 'Nullable(UInt32)', true],
    ['integer[]', 'String', 'Nullable(String)', false],
    ['public.hstore', 'String', 'Nullable(String)', false],
    ['toString', 'String', 'Nullable(String)', false],
    ['__proto__', 'String', 'Nullable(String)', false],
  ])('%s is %s, nullable %s', (type, plain, nullable, key) => {
    expect(columnType(column(type)).clickhouse(column(type))).toBe(plain);
    expect(columnType(column(type)).clickhouse(column(type, { nullable: true }))).toBe(nullable);
    expect(columnType(column(type)).key).toBe(key);
  });

  it.each([
    [10, 2, 'Decimal(10, 2)'],
    [76, 76, 'Decimal(76, 76)'],
    [1, 0, 'Decimal(1, 0)'],
    [77, 2, 'String'],
    [2, 3, 'Decimal(3, 3)'],
    [10, -2, 'Decimal(12, 0)'],
    [75, -2, 'String'],
    [undefined, undefined, 'String'],
  ])('numeric(%i,%i) is %s', (precision, scale, expected) => {
    const numeric = column('numeric', precision === undefined ? {} : { precision, scale });
    expect(columnType(numeric).clickhouse(numeric)).toBe(expected);
  });

  it('is a key only where an index of PostgreSQL tells its values apart, if nothing else is known of it', () => {
    expect(columnType(column('public.citext', { equals: 'operator(public.=)' }))).toMatchObject({
      key: true,
      equals: 'operator(public.=)',
    });
  });

  it('costs a plain column nothing: it is read as it is', () => {
    for (const type of ['bigint', 'text', 'boolean', 'uuid', 'real'])
      expect(columnType(column(type)).copy('source."v"')).toBe('source."v"');
    expect(columnType(column('numeric', { precision: 10, scale: 2 })).copy('source."v"')).toBe('source."v"');
  });

  it('of a numeric is read from its modifier, also with a negative scale', () => {
    expect(readNumericModifier(((10 << 16) | 2) + 4)).toEqual({ precision: 10, scale: 2 });
    expect(readNumericModifier(((1_000 << 16) | 1_000) + 4)).toEqual({ precision: 1_000, scale: 1_000 });
    expect(readNumericModifier(((3 << 16) | (-5 & 0x7ff)) + 4)).toEqual({ precision: 3, scale: -5 });
  });
});

describe('the columns of a target', () => {
  it('are those of the source by position, then the version and the mark', () => {
    const columns = [column('text', { name: 'b', position: 3, nullable: true }), column('bigint', { name: 'a' })];
    expect(targetColumns({ columns })).toEqual([
      { name: 'a', type: 'Int64' },
      { name: 'b', type: 'Nullable(String)' },
      { name: '_version', type: 'UInt128' },
      { name: '_deleted', type: 'UInt8' },
    ]);
  });
});
