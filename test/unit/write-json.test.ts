import avsc from 'avsc';
import { describe, expect, it } from 'vitest';
import { AvroInput, MalformedRecord } from '../../src/avro/input.js';
import { writeJson } from '../../src/avro/write-json.js';
import { MalformedSchema, readWriterSchema } from '../../src/avro/writer-schema.js';
import { LineBuffer } from '../../src/pipeline/line-buffer.js';

function jsonOf(schema: unknown, record: Buffer): string {
  const [from, to] = [new AvroInput(), new LineBuffer()];
  from.open(Buffer.concat([record, Buffer.from('more')]), 0, record.length);
  writeJson(readWriterSchema(JSON.stringify(schema)), from, to);
  expect(from.isAtEnd).toBe(true);
  return to.take().toString();
}

/** As a public library writes it. */
function written(schema: avsc.Schema, value: unknown): Buffer {
  return avsc.Type.forSchema(schema, { wrapUnions: false } as never).toBuffer(value);
}

const through = (schema: avsc.Schema, value: unknown): string => jsonOf(schema, written(schema, value));

describe('a value is written as the JSON converter of Connect writes it', () => {
  it.each<[what: string, schema: avsc.Schema, value: unknown, json: string]>([
    ['a null', ['null', 'int'], null, 'null'],
    ['a branch of a union', ['null', 'int'], -5, '-5'],
    ['a long', 'long', -4_000_000_000_000_001, '-4000000000000001'],
    ['a float', 'float', 1.5, '1.5'],
    ['NaN', 'double', NaN, '"NaN"'],
    ['an infinity', 'double', -Infinity, '"-Infinity"'],
    ['a negative zero', 'double', -0, '-0.0'],
    ['bytes', 'bytes', Buffer.from([0, 255, 92]), '"AP9c"'],
    ['a fixed', { type: 'fixed', name: 'F', size: 2 }, Buffer.from([1, 2]), '"AQI="'],
    ['an enum', { type: 'enum', name: 'E', symbols: ['A', 'B'] }, 'B', '"B"'],
    ['a text', 'string', 'tab\t "q" \\ \u0001 \u00fc\u{1f418}', '"tab\\t \\"q\\" \\\\ \\u0001 \u00fc\u{1f418}"'],
    ['an array', { type: 'array', items: ['null', 'string'] }, ['a', null, ''], '["a",null,""]'],
    ['a map', { type: 'map', values: 'int' }, { 'k"': 1 }, '{"k\\"":1}'],
    ['a record without fields', { type: 'record', name: 'R', fields: [] }, {}, '{}'],
  ])('%s', (_, schema, value, json) => {
    expect(through(schema, value)).toBe(json);
  });

  it('a bigint above 2^53', () => {
    expect(jsonOf('long', Buffer.from('feffffffffffffffff01', 'hex'))).toBe('9223372036854775807');
    expect(jsonOf('long', Buffer.from('ffffffffffffffffff01', 'hex'))).toBe('-9223372036854775808');
  });

  it('a list whose blocks have their sizes', () => {
    // Two items in three bytes, then one, then the end.
    expect(jsonOf({ type: 'array', items: 'int' }, Buffer.from([3, 4, 2, 4, 2, 6, 0]))).toBe('[1,2,3]');
  });

  it('a type that is named again, in its namespace and by its full name', () => {
    const row = { type: 'record', name: 'Value', fields: [{ name: 'id', type: 'int' }] };
    const envelope = {
      type: 'record',
      name: 'Envelope',
      namespace: 'shop.orders',
      fields: [
        { name: 'before', type: ['null', row], default: null },
        { name: 'after', type: ['null', 'Value'], default: null },
        { name: 'other', type: 'shop.orders.Value' },
        { name: 'next', type: ['null', 'Envelope'], default: null },
      ],
    } as unknown as avsc.Schema;
    expect(through(envelope, { before: null, after: { id: 2 }, other: { id: 3 }, next: null })).toBe(
      '{"before":null,"after":{"id":2},"other":{"id":3},"next":null}',
    );
  });
});

it.each<[what: string, schema: unknown, bytes: number[], why: string]>([
  ['ends too soon', 'string', [6, 0x61], 'it ends within a value'],
  ['has an unknown branch', ['null', 'int'], [4], 'a union in it has no such branch'],
  ['has an unknown symbol', { type: 'enum', name: 'E', symbols: ['A'] }, [2], 'an enum in it has no such symbol'],
])('a record that %s is refused', (_, schema, bytes, why) => {
  expect(() => jsonOf(schema, Buffer.from(bytes))).toThrow(new MalformedRecord(why));
});

it.each([
  ['{', 'it is no JSON'],
  ['"Missing"', 'it has no type Missing'],
  ['{"type":"record","name":"R"}', 'a list in it is none'],
  ['{"type":7}', 'a type in it is none'],
])('a schema that is none is refused: %s', (text, why) => {
  expect(() => readWriterSchema(text)).toThrow(new MalformedSchema(why));
});
