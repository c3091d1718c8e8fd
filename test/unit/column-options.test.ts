import { describe, expect, it } from 'vitest';
import { columnOptionsOf } from '../../src/cli/column-options.js';
import {
  formatTableName,
  parseColumnNames,
  parseTableName,
  shellName,
  sqlName,
  sqlNameOf,
} from '../../src/domain/table-name.js';

describe('the options of columns', () => {
  it('are read as written: a column as in SQL, then any text', () => {
    expect(
      columnOptionsOf({
        type: ['amount=Decimal(18, 4)', `"At"=DateTime64(6, 'UTC')`, 'Qty = Int64', '"a=b"=String'],
        policy: ['until=null', 'clamp', '"Until 2"=text'],
        codec: ['amount=CODEC(Delta, ZSTD(3))', '"At"=LZ4HC(9)'],
        lowCardinality: ['Status,"Kind"', 'zone'],
        excludeColumn: ['a,B', '"C, c"'],
        renameColumn: ['Id=orderId', '"At"=" at"', '"a=b"=a=b'],
      }),
    ).toEqual({
      types: { amount: 'Decimal(18, 4)', At: `DateTime64(6, 'UTC')`, qty: 'Int64', 'a=b': 'String' },
      policies: { until: 'null', 'Until 2': 'text' },
      policy: 'clamp',
      codecs: { amount: 'Delta, ZSTD(3)', At: 'LZ4HC(9)' },
      lowCardinality: ['status', 'Kind', 'zone'],
      excluded: ['a', 'b', 'C, c'],
      // ClickHouse folds no names.
      renamed: { id: 'orderId', At: ' at', 'a=b': 'a=b' },
    });
    expect(columnOptionsOf({})).toEqual({});
  });

  it.each([
    [{ type: ['amount'] }, /"--type amount" is not read/u],
    [{ type: ['amount='] }, /is not read/u],
    [{ policy: ['until=never'] }, /There is no policy "never"/u],
    [{ policy: ['never'] }, /"--policy never" is not read/u],
    [{ codec: ['amount'] }, /"--codec amount" is not read/u],
    [{ excludeColumn: ['a,,b'] }, /no names of columns/u],
    [{ excludeColumn: ['"a'] }, /no names of columns/u],
    [{ renameColumn: ['a'] }, /"--rename-column a" is not read/u],
    [{ renameColumn: ['a=""'] }, /is not read/u],
    [{ renameColumn: ['a="b'] }, /is not read/u],
    [{ renameColumn: ['a=b', 'A=c'] }, /gives column a two names: b and c/u],
  ])('are refused with a sentence: %j', (written, message) => {
    expect(() => columnOptionsOf(written)).toThrow(message);
  });
});

describe('a name', () => {
  it('is folded as PostgreSQL folds it: A to Z, no other letter, nothing in quotes', () => {
    expect(parseColumnNames('ID, "Id",ÄÖ')).toEqual(['id', 'Id', 'ÄÖ']);
    expect(parseTableName('Shop.ÜBER')).toEqual({ schema: 'shop', table: 'Über' });
    expect(parseTableName('"Shop"."a""b"')).toEqual({ schema: 'Shop', table: 'a"b' });
  });

  it.each([
    { schema: 'public', table: 'Orders' },
    { schema: 'public', table: 'ÜBER' },
    { schema: 'a.b', table: `it's "so"` },
    { schema: 'public', table: '$HOME `x` \\' },
    { schema: 'public', table: 'ключ' },
  ])('is printed so that it is read back: %j', (name) => {
    const printed = shellName(name)
      .replace(/^'(.*)'$/su, '$1')
      .replaceAll(String.raw`'\''`, `'`);
    expect(parseTableName(printed)).toEqual(name);
    expect(parseTableName(sqlName(name))).toEqual(name);
    expect(sqlNameOf(formatTableName(name))).toBe(sqlName(name));
  });
});
