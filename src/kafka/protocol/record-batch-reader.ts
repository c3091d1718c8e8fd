import { gunzipSync } from 'node:zlib';
import { readInt64 } from './bytes.js';

/** Places in a record batch of format 2, as Kafka writes it since 0.11. */
const BATCH_LENGTH = 8;
const AFTER_LENGTH = 12;
const MAGIC = 16;
const ATTRIBUTES = 21;
const LAST_OFFSET_DELTA = 23;
const BASE_TIMESTAMP = 27;
const MAX_TIMESTAMP = 35;
const RECORD_COUNT = 57;
const RECORDS = 61;

const CODEC_BITS = 0b111;
const GZIP = 1;
const CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
const LOG_APPEND_TIME = 0b1000;
const CONTROL = 0b100000;
/** The largest batch after decompression. No producer sends more: a larger one is an attack on the memory. */
const MOST_INFLATED_BYTES = 512 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/** A batch by the 61 bytes before its records; the records themselves are read when they are taken. */
export interface RecordBatch {
  /** As they are stored, maybe compressed: a view. */
  readonly records: Buffer;
  readonly first: number;
  readonly last: number;
  /** Fewer than its offsets in a topic that is compacted. */
  readonly count: number;
  readonly isGzipped: boolean;
  /** A mark of a transaction, which takes an offset. */
  readonly isControl: boolean;
  /** When its first record was sent, or the batch appended, milliseconds. */
  readonly timestampMs: number;
  /** The next one in its queue. */
  after?: RecordBatch;
}

/**
 * The batches of a fetched partition, one by one: what comes before a batch that throws is good. The first may begin before
 * the requested offset. The last may be cut off in the middle: it comes whole with the next fetch. Checksums are not
 * verified: the broker did that when the batch was appended, TCP and TLS have their own, and it would cost nearly as much as
 * all the rest (0.4 us a message of 280 bytes). Lengths that do not fit together are an error.
 * @param where `topic/partition`
 * @throws UnsupportedCodec, UnsupportedFormat, UnreadableRecords
 */
export function* splitBatches(set: Buffer, where: string): Generator<RecordBatch, void> {
  for (let start = 0; start + RECORDS <= set.length;) {
    const end = start + AFTER_LENGTH + set.readInt32BE(start + BATCH_LENGTH);
    const magic = set[start + MAGIC];
    if (magic !== 2) throw new UnsupportedFormat(where, magic);
    if (end < start + RECORDS) throw new UnreadableRecords(where);
    if (end > set.length) break;
    const attributes = set.readInt16BE(start + ATTRIBUTES);
    const codec = attributes & CODEC_BITS;
    if (codec > GZIP) throw new UnsupportedCodec(where, CODECS[codec] ?? `codec ${codec}`);
    const first = readInt64(set, start);
    yield {
      records: set.subarray(start + RECORDS, end),
      first,
      last: first + set.readInt32BE(start + LAST_OFFSET_DELTA),
      count: set.readInt32BE(start + RECORD_COUNT),
      isGzipped: codec === GZIP,
      isControl: (attributes & CONTROL) !== 0,
      timestampMs: readInt64(set, start + ((attributes & LOG_APPEND_TIME) === 0 ? BASE_TIMESTAMP : MAX_TIMESTAMP)),
    };
    start = end;
  }
}

/**
 * Stands on one record of a batch at a time and says where its parts are: no object is made for a record. Its invariant: the
 * parts lie within the record, and the record within the batch.
 */
export class RecordCursor {
  /** The bytes that the places below refer to. */
  bytes: Buffer = NOTHING;
  offset = -1;
  timestampMs = 0;
  /** Negative for a record without a key. */
  keyStart = -1;
  keyEnd = -1;
  /** Negative for a record without a value. */
  valueStart = -1;
  valueEnd = -1;
  /** The value of the header that `findHeader` found last; negative where it found none. */
  headerStart = -1;
  headerEnd = -1;
  /** Headers of the record, all names together; known after `findHeader`. */
  headerCount = 0;
  readonly #where: string;
  #at = 0;
  #first = 0;
  #left = 0;
  #headersAt = 0;
  #end = 0;

  constructor(where: string) {
    this.#where = where;
  }

  /** Before its first record. */
  open(batch: RecordBatch): void {
    this.bytes = batch.isGzipped ? inflate(batch.records, this.#where) : batch.records;
    this.timestampMs = batch.timestampMs;
    this.#at = 0;
    this.#first = batch.first;
    this.#left = batch.count;
  }

  /** Releases the bytes. */
  shut(): void {
    this.bytes = NOTHING;
    this.#left = 0;
  }

  /** @returns whether there is a next record. @throws UnreadableRecords */
  next(): boolean {
    if (this.#left === 0) return false;
    this.#left -= 1;
    const length = this.#varint();
    this.#end = this.#at + length;
    this.#at += 1;
    this.#varint(); // The timestamp's delta: a batch is sent at once.
    this.offset = this.#first + this.#varint();
    const key = this.#varint();
    this.keyStart = key < 0 ? -1 : this.#at;
    if (key > 0) this.#at += key;
    this.keyEnd = key < 0 ? -1 : this.#at;
    const value = this.#varint();
    this.valueStart = value < 0 ? -1 : this.#at;
    if (value > 0) this.#at += value;
    this.valueEnd = value < 0 ? -1 : this.#at;
    this.#headersAt = this.#at;
    if (this.#at >= this.#end || this.#end > this.bytes.length) throw new UnreadableRecords(this.#where);
    this.#at = this.#end;
    return true;
  }

  /**
   * Finds a header of the record.
   * @returns whether there is exactly one of the name; its place is in `headerStart` and `headerEnd`
   * @throws UnreadableRecords
   */
  findHeader(name: Buffer): boolean {
    this.headerStart = -1;
    this.headerEnd = -1;
    this.#at = this.#headersAt;
    this.headerCount = this.#varint();
    let found = 0;
    for (let left = this.headerCount; left > 0 && this.#at < this.#end; left--) {
      const nameLength = this.#varint();
      const isWanted = nameLength === name.length && this.#isHere(name);
      if (nameLength > 0) this.#at += nameLength;
      const length = this.#varint();
      if (isWanted && length >= 0) {
        this.headerStart = this.#at;
        this.headerEnd = this.#at + length;
        found += 1;
      }
      if (length > 0) this.#at += length;
    }
    if (this.#at !== this.#end) throw new UnreadableRecords(this.#where);
    if (found > 1) this.headerStart = -1;
    return found === 1;
  }

  /** Text of the one header of the name; empty where there is none, or more than one. */
  headerText(name: Buffer): string {
    return this.findHeader(name) ? this.bytes.toString('latin1', this.headerStart, this.headerEnd) : '';
  }

  #isHere(name: Buffer): boolean {
    for (let i = 0; i < name.length; i++) if (this.bytes[this.#at + i] !== name[i]) return false;
    return true;
  }

  /** Of a number that takes more than 32 bits, as timestamps do, the lower ones. */
  #varint(): number {
    const { bytes } = this;
    let byte = bytes[this.#at++] ?? 0;
    if (byte < 0x80) return (byte >>> 1) ^ -(byte & 1);
    let value = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      byte = bytes[this.#at++] ?? 0;
      if (shift < 32) value |= (byte & 0x7f) << shift;
    }
    return (value >>> 1) ^ -(value & 1);
  }
}

/** On this thread: a batch of 1 MB takes a few milliseconds. */
function inflate(records: Buffer, where: string): Buffer {
  try {
    return gunzipSync(records, { maxOutputLength: MOST_INFLATED_BYTES });
  } catch (error) {
    throw new UnreadableRecords(where, error);
  }
}

/** A batch is compressed with a codec that is not read here. */
export class UnsupportedCodec extends Error {
  override readonly name = 'UnsupportedCodec';
  readonly codec: string;

  constructor(where: string, codec: string) {
    super(`A record batch of ${where} is compressed with ${codec}.`);
    this.codec = codec;
  }
}

/** A batch is in a format older than 2, which has no headers. */
export class UnsupportedFormat extends Error {
  override readonly name = 'UnsupportedFormat';
  readonly format: string;

  constructor(where: string, format: number | undefined) {
    super(`A record batch of ${where} is in format ${format ?? '?'}.`);
    this.format = String(format ?? '?');
  }
}

/** The lengths in a batch do not fit together. */
export class UnreadableRecords extends Error {
  override readonly name = 'UnreadableRecords';

  constructor(where: string, cause?: unknown) {
    super(`A record batch of ${where} cannot be read: the lengths in it do not fit together.`, { cause });
  }
}
