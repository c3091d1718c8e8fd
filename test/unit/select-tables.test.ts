import { describe, expect, it } from 'vitest';
import { selectTables, type Selection } from '../../src/cli/select-tables.js';
import { formatTableName, parseTableName } from '../../src/domain/table-name.js';

const ALL = [
  table('public.orders'),
  table('public.payment', [], 2),
  table('public.payment_jan', ['public.payment']),
  table('public.payment_feb', ['public.payment']),
  table('shop.items'),
  table('shop.tmp_items'),
];

function table(name: string, partOf: readonly string[] = [], partitions = 0) {
  return { name: parseTableName(name), partOf: partOf.map(parseTableName), partitions };
}

function selected(patterns: readonly string[], exclude: Selection['exclude'] = []): string[] {
  return selectTables(ALL, { patterns, exclude }).map(({ name }) => formatTableName(name));
}

describe('the tables that are meant', () => {
  it('are those that fit a pattern and no excluded one, once each', () => {
    expect(selected(['shop.*', 'shop.items', 'orders'], ['shop.tmp_*'])).toEqual(['public.orders', 'shop.items']);
  });

  it('are partitioned tables instead of their partitions', () => {
    expect(selected(['public.*'])).toEqual(['public.orders', 'public.payment']);
    expect(selected(['payment', 'payment_*'])).toEqual(['public.payment']);
    expect(selected(['public.*'], ['payment'])).toEqual(['public.orders']);
  });

  it('are partitions where the partitioned table is not meant, or where they are named', () => {
    expect(selected(['payment_*'])).toEqual(['public.payment_feb', 'public.payment_jan']);
    expect(selected(['public.*', 'payment_jan'])).toEqual(['public.orders', 'public.payment', 'public.payment_jan']);
  });

  it('include a name that is not there, for the reason to be said; a pattern that fits nothing is refused', () => {
    expect(selected(['public.nothing'])).toEqual(['public.nothing']);
    expect(() => selected(['shop.x*'])).toThrow('No table of this database fits shop.x*.');
  });
});
