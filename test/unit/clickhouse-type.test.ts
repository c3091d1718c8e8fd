import { expect, it } from 'vitest';
import { holds } from '../../src/domain/clickhouse-type.js';

it.each([
  ['Int64', 'Int32', true],
  ['Int32', 'Int64', false],
  ['Nullable(Int64)', 'Int16', true],
  ['Int64', 'Nullable(Int16)', false],
  ['Float64', 'Float32', true],
  ['Float64', 'Int32', false],
  ['Decimal(12, 2)', 'Decimal(6,2)', true],
  ['Decimal(10, 4)', 'Decimal(6, 2)', true],
  ['Decimal(7, 4)', 'Decimal(6, 2)', false],
  ['Decimal(12, 1)', 'Decimal(6, 2)', false],
  ['LowCardinality(String)', 'String', true],
  ['Nullable(String)', 'LowCardinality(Nullable(String))', true],
  ['String', 'UUID', false],
])('%s holds every value of %s: %s', (has, wanted, expected) => {
  expect(holds(has, wanted)).toBe(expected);
});
