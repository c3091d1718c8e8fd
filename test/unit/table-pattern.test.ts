import { describe, expect, it } from 'vitest';
import { parseTablePattern } from '../../src/domain/table-pattern.js';

const NAMES = [
  'public.orders',
  'public.order_lines',
  'shop.orders',
  'shop.Orders',
  'shop.a*b',
  'Shop.orders',
  'shop.ÄB',
];

function matched(pattern: string): string[] {
  const read = parseTablePattern(pattern);
  return NAMES.filter((each) => {
    const [schema = '', table = ''] = each.split('.');
    return read.matches({ schema, table });
  });
}

describe('a pattern', () => {
  it.each([
    ['shop.*', ['shop.orders', 'shop.Orders', 'shop.a*b', 'shop.ÄB']],
    ['SHOP.Orders', ['shop.orders']],
    ['shop."Orders"', ['shop.Orders']],
    ['"Shop".*', ['Shop.orders']],
    ['order*', ['public.orders', 'public.order_lines']],
    ['*.order?', ['public.orders', 'shop.orders', 'Shop.orders']],
    ['shop."a*b"', ['shop.a*b']],
    ['shop."a*"*', ['shop.a*b']],
    ['shop."a-(*"', []],
    // PostgreSQL folds A to Z alone.
    ['shop.ÄB', []],
    ['shop.Ä"B"', ['shop.ÄB']],
  ])('%s means %j', (pattern, names) => {
    expect(matched(pattern)).toEqual(names);
  });

  it('without wildcards is the name of one table', () => {
    expect(parseTablePattern('"a""b".T').name).toEqual({ schema: 'a"b', table: 't' });
    expect(parseTablePattern('t').name).toEqual({ schema: 'public', table: 't' });
    expect(parseTablePattern('"*"').name).toEqual({ schema: 'public', table: '*' });
    expect(parseTablePattern('t*').name).toBeUndefined();
  });

  it.each(['', 'a.b.c', 'a.', '.*', '"open', 'two words', '""'])('%j is none', (text) => {
    expect(() => parseTablePattern(text)).toThrow('is neither a table name nor a pattern');
  });
});
