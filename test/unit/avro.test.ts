import avsc from 'avsc';
import { describe, expect, it } from 'vitest';
import { avroColumns } from '../../src/avro/avro-type.js';
import { decodeRecords } from '../../src/avro/decode-records.js';
import { avroName } from '../../src/avro/name.js';
import { versionOfRecord } from '../../src/avro/record-reader.js';
import { RecordWriter } from '../../src/avro/record-writer.js';
import { avroSchema } from '../../src/avro/schema.js';
import type { Column, ReplicatedTable } from '../../src/domain/replicated-table.js';
import { spanOf } from '../support/spans.js';

const VERSION = '1329227995784915909797295207699447809';

function column(name: string, type: string, more: Partial<Column> = {}): Column {
  return { name, position: 0, type, nullable: true, ...more };
}

function tableOf(...columns: readonly Column[]): ReplicatedTable {
  const all = [column('id', 'bigint', { nullable: false }), ...columns];
  const placed = all.map((each, index) => ({ ...each, position: index + 1 }));
  return {
    name: { schema: 'shop', table: 'orders' },
    key: ['id'],
    shape: 1,
    columns: placed,
  } as Partial<ReplicatedTable> as ReplicatedTable;
}

/** A line of COPY text through the writer. */
function written(table: ReplicatedTable, fields: readonly string[], deleted: 0 | 1 = 0): Buffer {
  const line = [...fields, VERSION, deleted].join('\t');
  const { bytes, start, end } = new RecordWriter(7, avroColumns(table)).row(spanOf(line));
  return Buffer.from(bytes.subarray(start, end));
}

/** An int64 as a bigint, which avsc does not do by itself. */
const EXACT_LONG = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer) => bytes.readBigInt64LE(),
  toBuffer: () => Buffer.alloc(8),
  fromJSON: Number,
  toJSON: Number,
  isValid: (value: unknown) => typeof value === 'bigint',
  compare: () => 0,
} as never);

/** As a consumer with a public library sees it. */
function readerOf(table: ReplicatedTable): (message: Buffer) => Record<string, unknown> {
  const typeHook = (schema: unknown): avsc.Type | undefined =>
    schema === 'long' || (schema as { type?: unknown }).type === 'long' ? EXACT_LONG : undefined;
  const type = avsc.Type.forSchema(JSON.parse(avroSchema(table)) as avsc.Schema, { typeHook } as never);
  return (message) => {
    expect([message[0], message.readUInt32BE(1)]).toEqual([0, 7]);
    return type.fromBuffer(message.subarray(5)) as Record<string, unknown>;
  };
}

function read(table: ReplicatedTable, message: Buffer): Record<string, unknown> {
  return readerOf(table)(message);
}

function decoded(table: ReplicatedTable, message: Buffer): string {
  const placeOf = () => ({ partition: 0, offset: 3 });
  return decodeRecords(table, { values: [message], shape: 1, placeOf }, 't').values.join('');
}

const VALUES: readonly (readonly [Column, string, unknown])[] = [
  [column('v', 'integer'), '-2147483648', -2147483648],
  [column('v', 'smallint'), '7', 7],
  [column('v', 'bigint'), '9007199254740993', 9007199254740993n],
  [column('v', 'bigint'), '-9223372036854775808', -9223372036854775808n],
  [column('v', 'boolean'), 't', true],
  [column('v', 'boolean'), 'f', false],
  [column('v', 'double precision'), '5e-324', 5e-324],
  [column('v', 'double precision'), '-0', -0],
  [column('v', 'double precision'), 'NaN', NaN],
  [column('v', 'double precision'), '-Infinity', -Infinity],
  [column('v', 'real'), '0.5', 0.5],
  [column('v', 'text'), 'Größe 🐘', 'Größe 🐘'],
  [column('v', 'text'), 'tab\\t, newline\\n, return\\r, \\b\\f\\v \\\\N', 'tab\t, newline\n, return\r, \b\f\v \\N'],
  [column('v', 'text'), '', ''],
  [column('v', 'numeric'), '1.50', '1.50'],
  [column('v', 'uuid'), '6f1c1a2e-1111-2222-3333-444455556666', '6f1c1a2e-1111-2222-3333-444455556666'],
  [column('v', 'date'), '1969-12-31', -1],
  [column('v', 'date'), '1900-01-01', -25_567],
  [column('v', 'date'), '2000-02-29', 11_016],
  [column('v', 'date'), '2299-12-31', 120_529],
  [column('v', 'timestamp without time zone'), '1970-01-01 00:00:00.000001', 1n],
  [column('v', 'timestamp without time zone'), '1969-12-31 23:59:59.5', -500_000n],
  [column('v', 'timestamp with time zone'), '2299-12-31 23:59:59.999999+00', 10_413_791_999_999_999n],
  [column('v', 'timestamp with time zone'), '1900-01-01 00:00:00+00', -2_208_988_800_000_000n],
  [column('v', 'bigint', { clickhouse: 'UInt64' }), '18446744073709551615', '18446744073709551615'],
  [column('v', 'text[]'), '{a,"b c",NULL}', '{a,"b c",NULL}'],
];

describe('a record in Avro', () => {
  it.each(VALUES)('holds %o as a public library reads it: %s', (each, text, value) => {
    const table = tableOf(each);
    const message = written(table, ['1', text]);
    expect(read(table, message)).toMatchObject({ id: 1n, v: value, _version: VERSION, _deleted: false, _refused: [] });
    expect(decoded(table, message)).toBe(`1\t${text}\t${VERSION}\t0`);
  });

  it.each([
    [10, 2, ['0.00', '12.50', '-0.01', '-1.28', '-1.29', '99999999.99', '-99999999.99', '655.36']],
    [15, 0, ['999999999999999', '-1', '128', '-128', '-129', '32768']],
    [18, 6, ['123456789012.345678', '-0.000001']],
    [
      76,
      38,
      [`-${'9'.repeat(38)}.${'9'.repeat(38)}`, `0.${'0'.repeat(37)}1`, `-${'0.'.padEnd(40, '0').slice(0, 39)}1`],
    ],
  ])('holds a numeric(%i, %i) exactly: %o', (precision, scale, texts) => {
    const table = tableOf(column('v', 'numeric', { precision, scale }));
    for (const text of texts) {
      const message = written(table, ['1', text]);
      expect(decoded(table, message)).toBe(`1\t${text}\t${VERSION}\t0`);
      const bytes = read(table, message)['v'] as Buffer;
      const found = BigInt.asIntN(8 * bytes.length, BigInt(`0x${bytes.toString('hex')}`));
      expect(found).toBe(BigInt(text.replace('.', '')));
    }
  });

  it('has room for values that are longer than their text', () => {
    const table = tableOf(
      ...Array.from({ length: 300 }, (_, at) => column(`v${at}`, 'numeric', { precision: 76, scale: 76 })),
    );
    const texts = Array.from({ length: 300 }, () => '0.1');
    const expected = texts.map(() => `0.1${'0'.repeat(75)}`).join('\t');
    expect(decoded(table, written(table, ['1', ...texts]))).toBe(`1\t${expected}\t${VERSION}\t0`);
  });

  it('holds NULL, and the key alone of a row that is gone', () => {
    const table = tableOf(column('a', 'text'), column('b', 'integer', { nullable: false }), column('c', 'date'));
    expect(read(table, written(table, ['5', '\\N', '0', '\\N']))).toMatchObject({ a: null, b: 0, c: null });
    const gone = written(table, ['5', 'x', '0', '2026-11-29'], 1);
    expect(read(table, gone)).toMatchObject({ id: 5n, a: null, b: null, c: null, _deleted: true });
    expect(decoded(table, gone)).toBe(`5\t\\N\t0\t\\N\t${VERSION}\t1`);
  });

  it('names the columns whose value has no place, and is refused by ClickHouse when it is loaded', () => {
    const table = tableOf(
      column('a', 'date'),
      column('b', 'numeric', { precision: 10, scale: 2 }),
      column('c', 'text'),
    );
    const message = written(table, ['5', 'infinity', 'NaN', 'infinity']);
    expect(read(table, message)).toMatchObject({ a: null, b: null, c: 'infinity', _refused: ['a', 'b'] });
    expect(decoded(table, message)).toBe(`5\tinfinity\tNaN\tinfinity\t${VERSION}\t0`);
  });

  it('that marks a TRUNCATE has no column, and shows its version without its schema', () => {
    const table = tableOf(column('a', 'text'));
    const { bytes, start, end } = new RecordWriter(7, avroColumns(table)).truncate(VERSION);
    const mark = Buffer.from(bytes.subarray(start, end));
    expect(read(table, mark)).toEqual({ _version: VERSION, _deleted: true, _refused: [], id: null, a: null });
    expect(versionOfRecord(mark)).toBe(BigInt(VERSION));
    expect(versionOfRecord(Buffer.from('{"_version":"1"}'))).toBeUndefined();
  });

  it('of another schema, or cut short, is refused with its place', () => {
    const table = tableOf(column('a', 'text'));
    const message = written(tableOf(column('a', 'text'), column('b', 'text')), ['5', 'x', 'y']);
    for (const wrong of [message, message.subarray(0, -1), message.subarray(0, 9)])
      expect(() => decoded(table, wrong)).toThrow(
        'The message at offset 3 of t/0 is no record of shape 1 of the table',
      );
  });

  it('holds what a float prints, as the same float', () => {
    const table = tableOf(column('v', 'real'));
    const reader = readerOf(table);
    const buffer = new DataView(new ArrayBuffer(4));
    for (let at = 0; at < 2_000; at++) {
      buffer.setUint32(0, Math.imul(at, 0x9e37_79b1));
      const value = buffer.getFloat32(0);
      if (Number.isNaN(value)) continue;
      const shortest = [6, 7, 8, 9]
        .map((digits) => value.toPrecision(digits))
        .find((text) => Math.fround(Number(text)) === value);
      expect(reader(written(table, ['1', shortest ?? '']))['v']).toBe(value);
    }
  });
});

describe('a schema in Avro', () => {
  it('of a shape is this one, in every release: the loader reads by it what an older one wrote', () => {
    const table = tableOf(
      column('name', 'text', { nullable: false }),
      column('Größe', 'numeric', { precision: 10, scale: 2 }),
      column('2nd', 'timestamp with time zone'),
      column('at', 'timestamp without time zone'),
    );
    expect(JSON.parse(avroSchema(table))).toEqual({
      type: 'record',
      name: 'shop_orders',
      namespace: 'pg2click',
      fields: [
        { name: '_version', type: 'string' },
        { name: '_deleted', type: 'boolean' },
        { name: '_refused', type: { type: 'array', items: 'string' }, default: [] },
        { name: 'id', type: ['null', 'long'], default: null },
        { name: 'name', type: ['null', 'string'], default: null },
        {
          name: 'Gr_u00f6_u00dfe',
          doc: 'Größe',
          type: ['null', { type: 'bytes', logicalType: 'decimal', precision: 10, scale: 2 }],
          default: null,
        },
        {
          name: '_u0032nd',
          doc: '2nd',
          type: ['null', { type: 'long', logicalType: 'timestamp-micros' }],
          default: null,
        },
        { name: 'at', type: ['null', { type: 'long', logicalType: 'local-timestamp-micros' }], default: null },
      ],
    });
  });

  it('has names that Avro takes', () => {
    expect(['id', 'a b', '🐘', '1a', '_x'].map(avroName)).toEqual(['id', 'a_u0020b', '_ud83d_udc18', '_u0031a', '_x']);
  });

  it('is refused where two fields would have one name', () => {
    const table = tableOf(column('a b', 'text'), column('a_u0020b', 'text'));
    expect(() => avroSchema(table)).toThrow('Two fields of the Avro schema of shop.orders would be named a_u0020b.');
    expect(() => avroSchema(tableOf(column('_refused', 'text')))).toThrow('would be named _refused.');
  });
});
