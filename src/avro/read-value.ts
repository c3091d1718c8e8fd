import type { LineBuffer } from '../pipeline/line-buffer.js';
import type { AvroType } from './avro-type.js';
import type { AvroInput } from './input.js';
import { writeDate, writeMoment } from './moment-text.js';

/** Reads a value and writes its COPY text. @throws MalformedRecord */
export type ReadValue = (from: AvroInput, to: LineBuffer) => void;

export function readValueOf(type: AvroType): ReadValue {
  switch (type.kind) {
    case 'boolean':
      return (from, to) => to.byte(from.byte() === 0 ? FALSE : TRUE);
    case 'int':
    case 'long':
      return (from, to) => writeWhole(from.long(), to);
    case 'float':
      return (from, to) => to.text(floatText(from.float()));
    case 'double':
      return (from, to) => to.text(floatText(from.double()));
    case 'string':
    case 'uuid':
      return readString;
    case 'date':
      return (from, to) => writeDate(Number(from.long()), to);
    case 'moment':
      return (from, to) => writeMoment(from.long(), type.local, to);
    case 'decimal':
      return (from, to) => readDecimal(from, to, type.scale);
    default:
      return type satisfies never;
  }
}

const TRUE = 0x74;
const FALSE = 0x66;
const MINUS = 0x2d;
const POINT = 0x2e;

function writeWhole(value: number | bigint, to: LineBuffer): void {
  if (typeof value === 'bigint') return to.text(String(value));
  if (value < 0) to.byte(MINUS);
  to.digits(Math.abs(value));
}

function floatText(value: number): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

/** What COPY writes for a byte, behind a backslash. */
const ESCAPES: Readonly<Record<number, string>> = {
  8: '\\b',
  9: '\\t',
  10: '\\n',
  11: '\\v',
  12: '\\f',
  13: '\\r',
  0x5c: '\\\\',
};
const LAST_CONTROL = 13;
const FIRST_CONTROL = 8;
const BACKSLASH = 0x5c;

function readString(from: AvroInput, to: LineBuffer): void {
  const length = from.length();
  const start = from.skip(length);
  const { bytes } = from;
  const end = start + length;
  let plain = start;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (byte !== BACKSLASH && (byte > LAST_CONTROL || byte < FIRST_CONTROL)) continue;
    to.bytes(bytes, plain, at);
    to.text(ESCAPES[byte] ?? '');
    plain = at + 1;
  }
  to.bytes(bytes, plain, end);
}

/** As many bytes, and as many digits, are below 2^53. */
const EXACT_BYTES = 6;
const EXACT_DIGITS = 15;

function readDecimal(from: AvroInput, to: LineBuffer, scale: number): void {
  const length = from.length();
  const start = from.skip(length);
  const { bytes } = from;
  if (length === 0) return to.text('0');
  if (length > EXACT_BYTES || scale > EXACT_DIGITS) return to.text(wideText(bytes, start, length, scale));
  const value = bytes.readIntBE(start, length);
  const magnitude = Math.abs(value);
  if (value < 0) to.byte(MINUS);
  if (scale === 0) return to.digits(magnitude);
  const unit = 10 ** scale;
  const whole = Math.floor(magnitude / unit);
  to.digits(whole);
  to.byte(POINT);
  to.digits(magnitude - whole * unit, scale);
}

function wideText(bytes: Buffer, start: number, length: number, scale: number): string {
  const unsigned = BigInt(`0x${bytes.toString('hex', start, start + length)}`);
  const value = BigInt.asIntN(length * 8, unsigned);
  const isNegative = value < 0n;
  const digits = String(isNegative ? -value : value).padStart(scale + 1, '0');
  const point = digits.length - scale;
  return `${isNegative ? '-' : ''}${digits.slice(0, point)}${scale === 0 ? '' : `.${digits.slice(point)}`}`;
}
