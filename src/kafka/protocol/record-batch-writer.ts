import { copyInto, grow, type ByteRange } from './bytes.js';
import { crc32c } from './crc32c.js';

/** The batch before its records: from `baseOffset` to the number of records. */
const HEAD_BYTES = 61;
const MAGIC = 2;
/** The checksum covers what follows it. */
const CRC_AT = 17;
const AFTER_CRC = 21;
const FIRST_BYTES = 16 * 1024;

/** The most that a record adds to its key, value and headers: lengths, deltas, and the name of one header of 8 letters. */
export const RECORD_BYTES = 40;

/** Who sends a batch, and the number by which the broker recognises a repetition. */
export interface BatchIdentity {
  /** Decimal. */
  readonly producerId: string;
  readonly producerEpoch: number;
  /** Of the first record, within its topic-partition. */
  readonly sequence: number;
}

export interface RecordHeader {
  readonly name: Buffer;
  readonly value: ByteRange;
}

/** A record as it was appended: views of the batch. */
interface AppendedRecord {
  readonly key: ByteRange | null;
  readonly value: ByteRange | null;
  readonly headers: readonly RecordHeader[];
}

/**
 * Writes one record batch of Kafka's format (magic 2, uncompressed) straight into one growing buffer. Its invariant: the first
 * `size` bytes are a whole batch of `records` records, all with the time of the batch; only producer, sequence number, time
 * and checksum are filled in by `finish`.
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

  /** Removes all records and keeps the buffer: the view that `finish` returned must not be in use any more. */
  clear(): void {
    this.#end = HEAD_BYTES;
    this.#records = 0;
  }

  /** Copies the parts. */
  append(key: ByteRange | null, value: ByteRange | null, headers: readonly RecordHeader[]): void {
    const delta = this.#records;
    let body = 2 + varintBytes(delta) + fieldBytes(key) + fieldBytes(value) + varintBytes(headers.length);
    for (const { name, value: header } of headers)
      body += varintBytes(name.length) + name.length + lengthOf(header) + varintBytes(lengthOf(header));
    this.#bytes = grow(this.#bytes, this.#end, varintBytes(body) + body);
    this.#putVarint(body);
    // Attributes, and the time since the batch's.
    this.#bytes[this.#end++] = 0;
    this.#bytes[this.#end++] = 0;
    this.#putVarint(delta);
    this.#putField(key);
    this.#putField(value);
    this.#putVarint(headers.length);
    for (const { name, value: header } of headers) {
      this.#putVarint(name.length);
      for (let i = 0; i < name.length; i++) this.#bytes[this.#end++] = name[i] ?? 0;
      this.#putVarint(lengthOf(header));
      this.#end = copyInto(this.#bytes, this.#end, header);
    }
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
    for (const { key, value, headers } of this.#read())
      (first.records < this.#records / 2 ? first : second).append(key, value, headers);
    return halves;
  }

  *#read(): Generator<AppendedRecord, void, undefined> {
    const reader = new FieldReader(this.#bytes, HEAD_BYTES);
    while (reader.at < this.#end) {
      reader.varint();
      reader.at += 2;
      reader.varint();
      const key = reader.field();
      const value = reader.field();
      const headers = Array.from({ length: reader.varint() }, () => ({ name: reader.copy(), value: reader.range() }));
      yield { key, value, headers };
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

  #putField(field: ByteRange | null): void {
    if (field === null) return this.#putVarint(-1);
    this.#putVarint(field.end - field.start);
    this.#end = copyInto(this.#bytes, this.#end, field);
  }
}

class FieldReader {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return (value >>> 1) ^ -(value & 1);
    }
  }

  field(): ByteRange | null {
    const length = this.varint();
    if (length < 0) return null;
    const start = this.at;
    this.at += length;
    return { bytes: this.#bytes, start, end: this.at };
  }

  range(): ByteRange {
    return this.field() ?? { bytes: this.#bytes, start: this.at, end: this.at };
  }

  copy(): Buffer {
    const { bytes, start, end } = this.range();
    return Buffer.from(bytes.subarray(start, end));
  }
}

function zigzag(value: number): number {
  return ((value << 1) ^ (value >> 31)) >>> 0;
}

function varintBytes(value: number): number {
  const rest = zigzag(value);
  return rest < 0x80 ? 1 : rest < 0x4000 ? 2 : rest < 0x20_0000 ? 3 : rest < 0x1000_0000 ? 4 : 5;
}

function fieldBytes(field: ByteRange | null): number {
  return field === null ? 1 : varintBytes(lengthOf(field)) + lengthOf(field);
}

function lengthOf({ start, end }: ByteRange): number {
  return end - start;
}
