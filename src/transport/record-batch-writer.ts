import type { Span } from '../domain/change.js';
import { MESSAGE_HEADER } from '../domain/message-header.js';
import { crc32c } from './crc32c.js';
import { grow } from './grow.js';

/** The batch before its records: from `baseOffset` to the number of records. */
const HEAD_BYTES = 61;
const MAGIC = 2;
/** The checksum covers what follows it. */
const CRC_AT = 17;
const AFTER_CRC = 21;
const FIRST_BYTES = 16 * 1024;
/** Below this a loop is faster than the view that `set` needs. */
const SHORT_BYTES = 64;
const HEADER_NAME = Buffer.from(MESSAGE_HEADER);

/** The most that a record adds to its key, value and header: lengths, deltas, the header's name. */
export const RECORD_BYTES = 40;

/** Who sends a batch, and what tells it from a repetition. */
export interface BatchIdentity {
  /** Decimal. */
  readonly producerId: string;
  readonly producerEpoch: number;
  /** Of the first record, within its topic-partition. */
  readonly sequence: number;
}

/** A record as it was appended: views of the batch. */
export interface Appended {
  readonly key: Span | null;
  readonly value: Span | null;
  readonly header: Span;
}

/**
 * Writes one record batch of Kafka's format (magic 2, uncompressed) straight into one growing buffer: nothing is kept of a
 * record but its bytes. Each record has one header, `MESSAGE_HEADER`, and the time of the batch.
 */
export class RecordBatchWriter {
  #bytes = Buffer.allocUnsafe(FIRST_BYTES);
  #end = HEAD_BYTES;
  #records = 0;

  get records(): number {
    return this.#records;
  }

  /** Of the whole batch. */
  get size(): number {
    return this.#end;
  }

  get capacity(): number {
    return this.#bytes.length;
  }

  /** Forgets its records and keeps its buffer: what `finish` gave must not be in use any more. */
  clear(): void {
    this.#end = HEAD_BYTES;
    this.#records = 0;
  }

  append(key: Span | null, value: Span | null, header: Span): void {
    const delta = this.#records;
    const body =
      2 +
      varintBytes(delta) +
      fieldBytes(key) +
      fieldBytes(value) +
      varintBytes(1) +
      varintBytes(HEADER_NAME.length) +
      HEADER_NAME.length +
      fieldBytes(header);
    this.#bytes = grow(this.#bytes, this.#end, varintBytes(body) + body);
    this.#putVarint(body);
    // Attributes, and the time since the batch's.
    this.#bytes[this.#end++] = 0;
    this.#bytes[this.#end++] = 0;
    this.#putVarint(delta);
    this.#putField(key);
    this.#putField(value);
    this.#putVarint(1);
    this.#putVarint(HEADER_NAME.length);
    this.#end = copy(this.#bytes, this.#end, HEADER_NAME, 0, HEADER_NAME.length);
    this.#putField(header);
    this.#records += 1;
  }

  /** Completes the batch. @returns a view, valid until the next `append` or `clear` */
  finish({ producerId, producerEpoch, sequence }: BatchIdentity, timestampMs: number): Buffer {
    const bytes = this.#bytes;
    const time = BigInt(timestampMs);
    bytes.writeBigInt64BE(0n, 0);
    bytes.writeInt32BE(this.#end - 12, 8);
    bytes.writeInt32BE(0, 12);
    bytes.writeInt8(MAGIC, 16);
    bytes.writeInt16BE(0, AFTER_CRC);
    bytes.writeInt32BE(this.#records - 1, 23);
    bytes.writeBigInt64BE(time, 27);
    bytes.writeBigInt64BE(time, 35);
    bytes.writeBigInt64BE(BigInt(producerId), 43);
    bytes.writeInt16BE(producerEpoch, 51);
    bytes.writeInt32BE(sequence, 53);
    bytes.writeInt32BE(this.#records, 57);
    bytes.writeUInt32BE(crc32c(bytes, AFTER_CRC, this.#end), CRC_AT);
    return bytes.subarray(0, this.#end);
  }

  /** The records in two batches, each with about half of them. Of at least two records. */
  halves(): [RecordBatchWriter, RecordBatchWriter] {
    const halves: [RecordBatchWriter, RecordBatchWriter] = [new RecordBatchWriter(), new RecordBatchWriter()];
    const [first, second] = halves;
    for (const { key, value, header } of this.#read())
      (first.records < this.#records / 2 ? first : second).append(key, value, header);
    return halves;
  }

  *#read(): Generator<Appended, void, undefined> {
    const reader = new VarintReader(this.#bytes, HEAD_BYTES);
    while (reader.at < this.#end) {
      reader.next();
      reader.at += 2;
      reader.next();
      const key = reader.field();
      const value = reader.field();
      reader.next();
      reader.field();
      const header = reader.field();
      if (header === null) throw new TypeError('a record of ours has a header');
      yield { key, value, header };
    }
  }

  #putVarint(value: number): void {
    let rest = zigzag(value);
    while (rest > 0x7f) {
      this.#bytes[this.#end++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#end++] = rest;
  }

  #putField(field: Span | null): void {
    if (field === null) return this.#putVarint(-1);
    this.#putVarint(field.end - field.start);
    this.#end = copy(this.#bytes, this.#end, field.bytes, field.start, field.end);
  }
}

class VarintReader {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  next(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
  }

  field(): Span | null {
    const length = this.next();
    if (length < 0) return null;
    const start = this.at;
    this.at += length;
    return { bytes: this.#bytes, start, end: this.at };
  }
}

function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0;
}

function varintBytes(value: number): number {
  const rest = zigzag(value);
  return rest < 0x80 ? 1 : rest < 0x4000 ? 2 : rest < 0x20_0000 ? 3 : rest < 0x1000_0000 ? 4 : 5;
}

function fieldBytes(field: Span | null): number {
  if (field === null) return 1;
  const length = field.end - field.start;
  return varintBytes(length) + length;
}

/** @returns where the copy ends */
function copy(target: Uint8Array, at: number, source: Uint8Array, start: number, end: number): number {
  if (end - start < SHORT_BYTES) {
    for (let i = start; i < end; i++) target[at++] = source[i] ?? 0;
    return at;
  }
  target.set(source.subarray(start, end), at);
  return at + end - start;
}
