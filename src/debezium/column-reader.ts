import type { Column } from '../domain/replicated-table.js';
import type { LineBuffer } from '../pipeline/line-buffer.js';
import { readDate, readMicros, readMillis, readTime, readZoned } from './moments.js';
import { readDecimal, readDecimalText } from './decimals.js';
import { hasOwnPlace, isExtensionText, isTextType } from './own-place.js';
import type { FieldSchema } from './semantic-type.js';

/**
 * Writes a value of a message as JSON for ClickHouse.
 * @param start of the value in the message; a NULL is not read
 * @returns false where the message does not hold the exact value: then the row is read from PostgreSQL
 */
export type ValueReader = (bytes: Buffer, start: number, end: number, out: LineBuffer) => boolean;

/** How the values of a column are read. */
export interface ColumnReader {
  readonly value: ValueReader;
  /** Whether a null in the message is a NULL. Debezium writes one for values that it cannot convert, such as a numeric NaN. */
  readonly trustsNull: boolean;
}

const QUOTE = 0x22;
const BLANK = 0x20;
const ZERO = 0x30;
const MINUS = 0x2d;
/** Every number that is shorter is in all integer types. */
const DIGITS_OF_INT16 = 5;

/** What Debezium writes for a TOAST value that an UPDATE did not touch: `unavailable.value.placeholder`. */
export const PLACEHOLDER = '__debezium_unavailable_value';
const TEXT_PLACEHOLDER = Buffer.from(`"${PLACEHOLDER}"`);
const BYTES_PLACEHOLDER = Buffer.from(`"${Buffer.from(PLACEHOLDER).toString('base64')}"`);

const isText = (bytes: Buffer, start: number): boolean => bytes[start] === QUOTE;
const isDigit = (byte: number): boolean => byte >= ZERO && byte <= ZERO + 9;
const isNumber = (bytes: Buffer, start: number): boolean => bytes[start] === MINUS || isDigit(bytes[start] ?? 0);
const isSame = (bytes: Buffer, start: number, end: number, other: Buffer): boolean =>
  end - start === other.length && other.compare(bytes, start, end) === 0;

const never: ValueReader = () => false;

/** A column that holds larger numbers by now is another one: ClickHouse would take a part of them. */
const whole =
  (lowest: bigint, highest: bigint): ValueReader =>
  (bytes, start, end, out) => {
    if (!isNumber(bytes, start)) return false;
    for (let at = start + 1; at < end; at++) if (!isDigit(bytes[at] ?? 0)) return false;
    if (end - start >= DIGITS_OF_INT16) {
      const number = BigInt(bytes.toString('latin1', start, end));
      if (number < lowest || number > highest) return false;
    }
    out.bytes(bytes, start, end);
    return true;
  };

const truth: ValueReader = (bytes, start, end, out) => {
  if (bytes[start] !== 0x74 && bytes[start] !== 0x66) return false;
  out.bytes(bytes, start, end);
  return true;
};

/** A number, or the text of NaN or an infinity: JSON of both sides writes them alike. */
const float: ValueReader = (bytes, start, end, out) => {
  if (!isNumber(bytes, start) && !isText(bytes, start)) return false;
  out.bytes(bytes, start, end);
  return true;
};

const text: ValueReader = (bytes, start, end, out) => {
  if (!isText(bytes, start) || isSame(bytes, start, end, TEXT_PLACEHOLDER)) return false;
  out.bytes(bytes, start, end);
  return true;
};

/** Of `char(n)`: PostgreSQL takes the blanks at its end for nothing where it becomes a text. */
const padded: ValueReader = (bytes, start, end, out) => {
  if (!isText(bytes, start) || isSame(bytes, start, end, TEXT_PLACEHOLDER)) return false;
  let last = end - 1;
  while (last - 1 > start && bytes[last - 1] === BLANK) last -= 1;
  out.bytes(bytes, start, last);
  out.text('"');
  return true;
};

/** Of `bytea`: the hexadecimal text that PostgreSQL prints. */
export const base64: ValueReader = (bytes, start, end, out) => {
  if (!isText(bytes, start) || isSame(bytes, start, end, BYTES_PLACEHOLDER)) return false;
  out.text(`"\\\\x${Buffer.from(bytes.toString('latin1', start + 1, end - 1), 'base64').toString('hex')}"`);
  return true;
};

const WHOLES: Readonly<Record<string, ValueReader>> = {
  bigint: whole(-(2n ** 63n), 2n ** 63n - 1n),
  integer: whole(-(2n ** 31n), 2n ** 31n - 1n),
  smallint: whole(-(2n ** 15n), 2n ** 15n - 1n),
  oid: whole(0n, 2n ** 32n - 1n),
};

/** By the name that Debezium gives a meaning: what a point in time is written as. */
const MOMENTS: Readonly<Record<string, Readonly<Record<string, ValueReader>>>> = {
  'timestamp without time zone': {
    'io.debezium.time.MicroTimestamp': readMicros,
    // Debezium uses it for `timestamp(0 to 3)` only; Connect's own drops the microseconds of every column.
    'io.debezium.time.Timestamp': readMillis,
  },
  'time without time zone': { 'io.debezium.time.MicroTime': readTime(1n), 'io.debezium.time.Time': readTime(1_000n) },
};

/** The columns that a message holds exactly whatever it is: its JSON alone says what they are. */
const PLAIN: Readonly<Record<string, ValueReader>> = {
  boolean: truth,
  'double precision': float,
  real: float,
  character: padded,
  date: readDate,
  'timestamp with time zone': readZoned,
};

/**
 * @param schema what the message says of the field; undefined for messages without a schema, where a number may be of any unit and a
 * text of any form: those columns are read from PostgreSQL
 * @param hasDefault in the catalogue
 */
export function columnReader(
  column: Column,
  schema: FieldSchema | undefined,
  { hasDefault = false }: { readonly hasDefault?: boolean } = {},
): ColumnReader {
  const own = hasOwnPlace(column) ? readerOf(column, schema) : never;
  const value = column.nullable ? butDefault(own, schema, hasDefault) : own;
  return { value, trustsNull: value !== never && column.type !== 'numeric' };
}

/**
 * A converter of Connect writes the default in the place of a null, unless it has `replace.null.with.default=false`: a value that is the
 * default may be a NULL. Without a schema every value may be the default.
 */
function butDefault(read: ValueReader, schema: FieldSchema | undefined, hasDefault: boolean): ValueReader {
  if (schema === undefined) return hasDefault ? never : read;
  const { type, absent } = schema;
  if (absent === undefined || read === never) return read;
  // Bytes are written otherwise here than in a schema.
  if (type === 'bytes' || typeof absent === 'object') return never;
  const plain = (value: unknown): unknown =>
    type === 'float' && typeof value === 'number' ? Math.fround(value) : value;
  const known = plain(absent);
  return (bytes, start, end, out) =>
    plain(JSON.parse(bytes.toString('utf8', start, end))) !== known && read(bytes, start, end, out);
}

function readerOf(column: Column, schema: FieldSchema | undefined): ValueReader {
  const { type } = column;
  if (isExtensionText(type)) return text;
  if (isTextType(type)) return schema === undefined || schema.type === 'string' ? text : never;
  if (type === 'real' && schema !== undefined && schema.type !== 'float') return never;
  const plain = WHOLES[type] ?? PLAIN[type];
  if (plain !== undefined) return plain;
  if (schema === undefined) return never;
  if (type === 'numeric') return numericReader(column, schema);
  if (type === 'bytea') return schema.type === 'bytes' && schema.name === undefined ? base64 : never;
  return MOMENTS[type]?.[schema.name ?? ''] ?? never;
}

/** Without a scale 1.50 is written as 1.5, and with a negative one as something else: both are read from PostgreSQL. */
function numericReader({ scale }: Column, schema: FieldSchema): ValueReader {
  if (scale === undefined || scale < 0) return never;
  if (schema.name === 'org.apache.kafka.connect.data.Decimal')
    return schema.scale === scale ? readDecimal(scale) : never;
  return schema.type === 'string' && schema.name === undefined ? readDecimalText(scale) : never;
}
