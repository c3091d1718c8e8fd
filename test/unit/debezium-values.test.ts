import { describe, expect, it } from 'vitest';
import { columnReader } from '../../src/debezium/column-reader.js';
import { LineBuffer } from '../../src/pipeline/line-buffer.js';
import type { FieldSchema } from '../../src/debezium/semantic-type.js';
import type { Column } from '../../src/domain/replicated-table.js';

const column = (type: string, more: Partial<Column> = {}): Column => ({
  name: 'c',
  position: 1,
  type,
  nullable: true,
  ...more,
});

/** @returns what ClickHouse gets; undefined where the row is read from PostgreSQL */
function read(of: Column, schema: FieldSchema | undefined, json: string): string | undefined {
  const bytes = Buffer.from(`{"c":${json}}`);
  const out = new LineBuffer();
  return columnReader(of, schema).value(bytes, 5, bytes.length - 1, out) ? out.take().toString() : undefined;
}

const decimal = (scale: number): FieldSchema => ({
  type: 'bytes',
  name: 'org.apache.kafka.connect.data.Decimal',
  scale,
});
const price = column('numeric', { precision: 10, scale: 2 });
const micros: FieldSchema = { type: 'int64', name: 'io.debezium.time.MicroTimestamp' };
const timestamp = column('timestamp without time zone');

describe('values that a message holds exactly', () => {
  it.each([
    ['a bigint above 2^53', column('bigint'), { type: 'int64' }, '9223372036854775807', '9223372036854775807'],
    ['a decimal', price, decimal(2), '"AJY="', '"1.50"'],
    ['a negative decimal', price, decimal(2), '"/av0HAE="', '"-99999999.99"'],
    ['a decimal below one', price, decimal(2), '"/w=="', '"-0.01"'],
    ['a decimal as text', price, { type: 'string' }, '"1.50"', '"1.50"'],
    ['a date', column('date'), undefined, '19782', '"2024-02-29"'],
    ['the first date that has a place', column('date'), undefined, '-25567', '"1900-01-01"'],
    ['microseconds', timestamp, micros, '1704110400000001', '"2024-01-01 12:00:00.000001"'],
    ['microseconds before 1970', timestamp, micros, '-500000', '"1969-12-31 23:59:59.5"'],
    [
      'milliseconds',
      timestamp,
      { type: 'int64', name: 'io.debezium.time.Timestamp' },
      '1704110400123',
      '"2024-01-01 12:00:00.123"',
    ],
    [
      'an instant',
      column('timestamp with time zone'),
      undefined,
      '"2024-07-01T00:30:00.000001Z"',
      '"2024-07-01 00:30:00.000001+00"',
    ],
    [
      'midnight at the end of a day',
      column('time without time zone'),
      { type: 'int64', name: 'io.debezium.time.MicroTime' },
      '86400000000',
      '"24:00:00"',
    ],
    ['bytes', column('bytea'), { type: 'bytes' }, '"AP9cCgk="', '"\\\\x00ff5c0a09"'],
    ['a float that is no number', column('double precision'), { type: 'double' }, '"NaN"', '"NaN"'],
    ['-0', column('real'), { type: 'float' }, '-0.0', '-0.0'],
    ['blanks of char(n)', column('character'), undefined, '" ab  "', '" ab"'],
    ['nothing but blanks', column('character'), undefined, '"   "', '""'],
    ['a text with escapes', column('text'), undefined, '"tab\\t \\"q\\" \\\\N"', '"tab\\t \\"q\\" \\\\N"'],
    ['citext of a schema', column('public.citext'), undefined, '"Me"', '"Me"'],
  ] as const)('%s', (_, of, schema, json, expected) => {
    expect(read(of, schema, json)).toBe(expected);
  });
});

describe('values that are read from PostgreSQL', () => {
  it.each([
    ['a TOAST value that the update did not touch', column('text'), undefined, '"__debezium_unavailable_value"'],
    [
      'TOAST bytes that the update did not touch',
      column('bytea'),
      { type: 'bytes' },
      `"${Buffer.from('__debezium_unavailable_value').toString('base64')}"`,
    ],
    ['a decimal without a schema, which may be base64', price, undefined, '"1234"'],
    ['a decimal as a double', price, { type: 'double' }, '1.5'],
    ['a decimal of another scale', price, decimal(4), '"AJY="'],
    ['a text with other digits than PostgreSQL prints', price, { type: 'string' }, '"1.5"'],
    ['numeric without a scale, whose 1.50 comes as 1.5', column('numeric'), decimal(1), '"Dw=="'],
    [
      'numeric with a negative scale, which comes as garbage',
      column('numeric', { precision: 3, scale: -2 }),
      decimal(2046),
      '"BML="',
    ],
    ['a timestamp without a schema: of which unit?', timestamp, undefined, '1704110400000'],
    [
      'a timestamp of Connect, which drops microseconds',
      timestamp,
      { type: 'int64', name: 'org.apache.kafka.connect.data.Timestamp' },
      '1704110400000',
    ],
    ['an infinite timestamp', timestamp, micros, '9223372036825200000'],
    ['an infinite date', column('date'), undefined, '-2147472692'],
    ['an instant before our era', column('timestamp with time zone'), undefined, '"-0043-03-15T10:00:00.000000Z"'],
    ['an infinite instant', column('timestamp with time zone'), undefined, '"infinity"'],
    ['bytes in a form that nobody names', column('bytea'), { type: 'string' }, '"00ff"'],
    [
      'a time with a zone, which Debezium turns into UTC',
      column('time with time zone'),
      { type: 'string' },
      '"06:30:00.5Z"',
    ],
    ['an interval, whose months became days', column('interval'), { type: 'int64' }, '2629800000000'],
    ['an array', column('integer[]'), { type: 'array' }, '[1,2]'],
    ['a number that an integer cannot have', column('integer'), undefined, '2147483648'],
    ['a fraction in an integer', column('integer'), undefined, '1.5'],
    ['a double where the column was a real', column('real'), { type: 'double' }, '0.1'],
    ['a number where the column has become a text', column('bigint'), undefined, '"1"'],
  ] as const)('%s', (_, of, schema, json) => {
    expect(read(of, schema, json)).toBeUndefined();
  });

  it('a type or a text that the user chose', () => {
    expect(read({ ...column('integer'), clickhouse: 'Int8' }, { type: 'int32' }, '1')).toBeUndefined();
    expect(read({ ...column('date'), policy: 'text' }, undefined, '1')).toBeUndefined();
    expect(read({ ...column('text'), policy: 'text' }, undefined, '"a"')).toBe('"a"');
  });

  it('a value that is the default, which may stand for a NULL', () => {
    const seven: FieldSchema = { type: 'int32', absent: 7 };
    expect(read(column('integer'), seven, '7')).toBeUndefined();
    expect(read(column('integer'), seven, '70')).toBe('70');
    expect(read(column('integer', { nullable: false }), seven, '7')).toBe('7');
    expect(read(column('text'), { type: 'string', absent: 'a\n' }, '"a\\u000A"')).toBeUndefined();
    expect(read(column('text'), { type: 'string', absent: '7' }, '"70"')).toBe('"70"');
    // As a float that was written in 32 bits.
    expect(read(column('real'), { type: 'float', absent: 0.1 }, String(Math.fround(0.1)))).toBeUndefined();
    expect(read(price, { ...decimal(2), absent: 'AJY=' }, '"AJc="')).toBeUndefined();
    const reader = columnReader(column('integer'), undefined, { hasDefault: true });
    expect(reader.value(Buffer.from('1'), 0, 1, new LineBuffer())).toBe(false);
    expect(columnReader(column('integer'), seven).trustsNull).toBe(true);
  });

  it('a null of numeric, which may be NaN', () => {
    expect(columnReader(price, decimal(2)).trustsNull).toBe(false);
    expect(columnReader(column('text'), undefined).trustsNull).toBe(true);
    expect(columnReader(column('integer[]'), undefined).trustsNull).toBe(false);
  });
});
