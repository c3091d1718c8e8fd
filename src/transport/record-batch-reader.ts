import { gunzipSync } from 'node:zlib';
import { MESSAGE_HEADER } from '../domain/message-header.js';
import { Failure } from '../failure/failure.js';

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
/** Of one batch that was compressed: nobody's batch, but a bomb's. */
const MOST_INFLATED_BYTES = 512 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);
const HEADER_NAME = Buffer.from(MESSAGE_HEADER);

/** What the 61 bytes before its records say of a batch; the records themselves are read when they are taken. */
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
 * The batches of a fetched partition, one by one: what comes before one that is refused is good. The last may be cut off in the middle: it comes whole with the next fetch. The first
 * may begin before the offset that was asked for. Checksums are not verified: the broker did so when the batch was appended, TCP and
 * TLS have their own, and it would cost nearly as much as all the rest (0.4 us a message of 280 B); what does not add up is refused.
 * @param where `topic/partition`
 * @throws Failure `Misconfigured` for a codec or a format that is not read here, `Unexpected` for what is no batch
 */
export function* splitBatches(set: Buffer, where: string): Generator<RecordBatch, void> {
  for (let start = 0; start + RECORDS <= set.length;) {
    const end = start + AFTER_LENGTH + set.readInt32BE(start + BATCH_LENGTH);
    const magic = set[start + MAGIC];
    if (magic !== 2) throw oldFormat(where, magic);
    if (end < start + RECORDS) throw unreadable(where);
    if (end > set.length) break;
    const attributes = set.readInt16BE(start + ATTRIBUTES);
    const codec = attributes & CODEC_BITS;
    if (codec > GZIP) throw unknownCodec(where, codec);
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
 * Stands on one record of a batch at a time and says where its parts are: no object is made for a record.
 */
export class RecordCursor {
  /** What the places below are places in. */
  bytes: Buffer = NOTHING;
  offset = -1;
  timestampMs = 0;
  /** Negative for a record without a value. */
  valueStart = -1;
  valueEnd = -1;
  /** Of the value of our header; negative where there is none, or more than one. */
  headerStart = -1;
  headerEnd = -1;
  readonly #where: string;
  #at = 0;
  #first = 0;
  #left = 0;

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

  /** Lets go of the bytes. */
  shut(): void {
    this.bytes = NOTHING;
    this.#left = 0;
  }

  /** @returns whether there is a next record. @throws Failure `Unexpected` for bytes that are no record */
  next(): boolean {
    if (this.#left === 0) return false;
    this.#left -= 1;
    const length = this.#varint();
    const end = this.#at + length;
    this.#at += 1;
    this.#varint(); // The timestamp's delta: a batch is sent at once.
    this.offset = this.#first + this.#varint();
    const key = this.#varint();
    if (key > 0) this.#at += key;
    const value = this.#varint();
    this.valueStart = value < 0 ? -1 : this.#at;
    if (value > 0) this.#at += value;
    this.valueEnd = value < 0 ? -1 : this.#at;
    this.#readHeaders();
    if (this.#at !== end || end > this.bytes.length) throw unreadable(this.#where);
    return true;
  }

  /** A view; null for a record without a value. */
  value(): Buffer | null {
    return this.valueStart < 0 ? null : this.bytes.subarray(this.valueStart, this.valueEnd);
  }

  /** Text of our header; empty where there is none. */
  header(): string {
    return this.headerStart < 0 ? '' : this.bytes.toString('latin1', this.headerStart, this.headerEnd);
  }

  #readHeaders(): void {
    this.headerStart = -1;
    this.headerEnd = -1;
    let found = 0;
    for (let left = this.#varint(); left > 0 && this.#at < this.bytes.length; left--) {
      const nameLength = this.#varint();
      const isOurs = nameLength === HEADER_NAME.length && this.#isOurNameHere();
      if (nameLength > 0) this.#at += nameLength;
      const length = this.#varint();
      if (isOurs && length >= 0) {
        this.headerStart = this.#at;
        this.headerEnd = this.#at + length;
        found += 1;
      }
      if (length > 0) this.#at += length;
    }
    if (found > 1) this.headerStart = -1;
  }

  #isOurNameHere(): boolean {
    for (let i = 0; i < HEADER_NAME.length; i++) if (this.bytes[this.#at + i] !== HEADER_NAME[i]) return false;
    return true;
  }

  /** Of a longer one, as timestamps have, the lower bits. */
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

/** Exact below 2^53, which no topic reaches. */
export function readInt64(bytes: Buffer, at: number): number {
  return bytes.readInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}

/** In one step, on the thread that waits for it: a batch of 1 MB takes a few milliseconds. */
function inflate(records: Buffer, where: string): Buffer {
  try {
    return gunzipSync(records, { maxOutputLength: MOST_INFLATED_BYTES });
  } catch (error) {
    throw unreadable(where, error);
  }
}

function unknownCodec(where: string, codec: number): Failure {
  return new Failure('Misconfigured', {
    message: `Messages of ${where} are compressed with ${CODECS[codec] ?? `codec ${codec}`}, which pg2click does not read.`,
    remedy:
      'Set compression.type=producer on the topic (gzip is read too). What is stored stays compressed: then remove the table and add it again.',
  });
}

function oldFormat(where: string, magic: number | undefined): Failure {
  return new Failure('Misconfigured', {
    message: `Messages of ${where} are stored in Kafka's old format ${magic ?? '?'}, which has no headers.`,
    remedy:
      'Remove message.format.version from the topic and log.message.format.version from the broker; then remove the table and add it again.',
  });
}

export function unreadable(where: string, cause?: unknown): Failure {
  return new Failure('Unexpected', {
    message: `A record batch of ${where} cannot be read: its bytes do not add up.`,
    cause,
  });
}
