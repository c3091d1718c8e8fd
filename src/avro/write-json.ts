import type { LineBuffer } from '../pipeline/line-buffer.js';
import { MalformedRecord, type AvroInput } from './input.js';
import type { WrittenField, WrittenRecord, WrittenType } from './writer-schema.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const MINUS = 0x2d;
const OPEN = 0x7b;
const CLOSE = 0x7d;
const FIRST_PLAIN = 0x20;
const [NULL, TRUE, FALSE] = [Buffer.from('null'), Buffer.from('true'), Buffer.from('false')];

/** By byte: how JSON writes it in a text. */
const ESCAPES: readonly string[] = Array.from({ length: BACKSLASH + 1 }, (_, byte) =>
  JSON.stringify(String.fromCharCode(byte)).slice(1, -1),
);

/**
 * Writes a value as the JSON that Connect's JsonConverter would make of it, digit by digit: bytes are base64, and what is no number
 * is a text. No object is made for a value.
 * @throws MalformedRecord for bytes that are no value of the type
 */
export function writeJson(type: WrittenType, from: AvroInput, to: LineBuffer): void {
  switch (type.kind) {
    case 'null':
      return put(NULL, to);
    case 'boolean':
      return put(from.byte() === 0 ? FALSE : TRUE, to);
    case 'int':
    case 'long':
      return writeWhole(from.long(), to);
    case 'float':
      return writeFloat(from.float(), to);
    case 'double':
      return writeFloat(from.double(), to);
    case 'bytes':
      return writeBytes(from, from.length(), to);
    case 'fixed':
      return writeBytes(from, type.size, to);
    case 'string':
      return writeString(from, to);
    case 'enum':
      return to.text(JSON.stringify(at(type.symbols, from.long(), 'an enum in it has no such symbol')));
    case 'union':
      return writeJson(at(type.branches, from.long(), 'a union in it has no such branch'), from, to);
    case 'array':
      to.text('[');
      writeBlocks(from, to, () => writeJson(type.items, from, to));
      return to.text(']');
    case 'map':
      to.text('{');
      writeBlocks(from, to, () => {
        writeString(from, to);
        to.text(':');
        writeJson(type.items, from, to);
      });
      return to.text('}');
    case 'record':
      return writeRecord(type, from, to);
    default:
      return type satisfies never;
  }
}

function at<T>(of: readonly T[], index: number | bigint, otherwise: string): T {
  const found = of[Number(index)];
  if (found === undefined) throw new MalformedRecord(otherwise);
  return found;
}

/** `"name":` of each field of a record, with what goes before it. */
const labels = new WeakMap<WrittenRecord, readonly Buffer[]>();

function labelsOf(record: WrittenRecord): readonly Buffer[] {
  let known = labels.get(record);
  if (known === undefined) labels.set(record, (known = record.fields.map(labelOf)));
  return known;
}

function labelOf({ name }: WrittenField, index: number): Buffer {
  return Buffer.from(`${index === 0 ? '{' : ','}${JSON.stringify(name)}:`);
}

/** Bytes that are there already cost less than a short text. */
function put(bytes: Buffer, to: LineBuffer): void {
  to.bytes(bytes, 0, bytes.length);
}

function writeRecord(record: WrittenRecord, from: AvroInput, to: LineBuffer): void {
  const { fields } = record;
  const before = labelsOf(record);
  if (fields.length === 0) to.byte(OPEN);
  for (let index = 0; index < fields.length; index++) {
    const [label, field] = [before[index], fields[index]];
    if (label === undefined || field === undefined) break;
    put(label, to);
    writeJson(field.type, from, to);
  }
  to.byte(CLOSE);
}

/** A list comes in blocks, the last of which is empty. The size of one follows a negative count. */
function writeBlocks(from: AvroInput, to: LineBuffer, writeItem: () => void): void {
  let isFirst = true;
  for (;;) {
    let count = Number(from.long());
    if (count === 0) return;
    if (count < 0) {
      from.long();
      count = -count;
    }
    for (; count > 0; count -= 1) {
      if (!isFirst) to.byte(COMMA);
      isFirst = false;
      writeItem();
    }
  }
}

function writeWhole(value: number | bigint, to: LineBuffer): void {
  if (typeof value === 'bigint') return to.text(String(value));
  if (value < 0) to.byte(MINUS);
  to.digits(Math.abs(value));
}

function writeFloat(value: number, to: LineBuffer): void {
  if (!Number.isFinite(value)) return to.text(`"${value}"`);
  to.text(Object.is(value, -0) ? '-0.0' : String(value));
}

function writeBytes(from: AvroInput, length: number, to: LineBuffer): void {
  const start = from.skip(length);
  to.text(`"${from.bytes.toString('base64', start, start + length)}"`);
}

function writeString(from: AvroInput, to: LineBuffer): void {
  const length = from.length();
  const start = from.skip(length);
  const { bytes } = from;
  const end = start + length;
  let plain = start;
  to.byte(QUOTE);
  for (let place = start; place < end; place++) {
    const byte = bytes[place] ?? 0;
    if (byte >= FIRST_PLAIN && byte !== QUOTE && byte !== BACKSLASH) continue;
    to.bytes(bytes, plain, place);
    to.text(ESCAPES[byte] ?? '');
    plain = place + 1;
  }
  to.bytes(bytes, plain, end);
  to.byte(QUOTE);
}
