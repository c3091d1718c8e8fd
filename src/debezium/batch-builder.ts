import type { OffsetRange } from '../domain/batch.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { majorOf } from '../domain/version.js';
import { Failure } from '../failure/failure.js';
import type { RecordCursor } from '../kafka/protocol/record-batch-reader.js';
import type { BatchBuilder, Fetched, FetchLimits } from '../topic/fetched.js';
import { MessagePlaces } from '../topic/message-places.js';
import { contentMark, type RecordPlace } from '../topic/record-mark.js';
import { LineBuffer } from '../pipeline/line-buffer.js';
import { UnknownSchema } from './avro-value.js';
import { DebeziumMessage, ForeignMessage } from './message.js';
import { RowWriter, UnknownColumns } from './row-writer.js';
import { versionOf } from './version-of.js';
import type { WriterSchema } from './writer-schema.js';

export interface DebeziumBatchOptions {
  readonly table: ReplicatedTable;
  readonly topic: string;
  /** See `RowWriter`. */
  readonly ignored: ReadonlySet<string>;
  /** Changes were loaded before; undefined where nobody has to know. */
  readonly streamed: boolean | undefined;
  /** Of messages in Avro, by their ids. */
  readonly schemas: ReadonlyMap<number, WriterSchema>;
  /** See `RowWriter`. */
  readonly defaulted: ReadonlySet<string>;
}

/**
 * Puts messages of Debezium together. Rows that a message does not hold exactly are read from PostgreSQL by their keys: a batch is one of
 * rows as they are, or one of keys. Which of both its first message decides; the keys of rows that are whole do not end a batch of keys.
 */
export class DebeziumBatch implements BatchBuilder {
  readonly #options: DebeziumBatchOptions;
  readonly #limits: FetchLimits;
  readonly #isNamed: boolean;
  readonly #message: DebeziumMessage;
  readonly #writer: RowWriter;
  readonly #lines = new LineBuffer();
  readonly #values: Buffer[] = [];
  /** Of the same rows; filled where they may be needed. */
  readonly #keys: Buffer[] = [];
  readonly #places = new MessagePlaces();
  readonly #transactions = new Set<number>();
  #range: { readonly partition: number; readonly first: number; last: number; place: RecordPlace } | undefined;
  #areKeys = false;
  #isUntold = false;
  #streamed = false;
  #bytes = 0;
  #highest = 0n;
  #truncate: bigint | undefined;
  #oldestTimestampMs = Number.MAX_SAFE_INTEGER;

  /** @param isNamed the range was a batch before: nothing ends it */
  constructor(options: DebeziumBatchOptions, limits: FetchLimits, isNamed: boolean) {
    this.#options = options;
    this.#limits = limits;
    this.#isNamed = isNamed;
    const { table } = options;
    this.#message = new DebeziumMessage(table.source ?? table.name, options.schemas);
    const { ignored, defaulted } = options;
    this.#writer = new RowWriter(table, { ignored: isNamed ? undefined : ignored, defaulted });
  }

  get isEmpty(): boolean {
    return this.#range === undefined;
  }

  lastOf(partition: number): number | undefined {
    return this.#range?.partition === partition ? this.#range.last : undefined;
  }

  /** @throws UnknownColumns, UnknownSchema; Failure `TopicReplaced` for a message that Debezium has not written for this table: when it is the first */
  offer(partition: number, record: RecordCursor): boolean {
    try {
      if (!this.#take(partition, record)) return false;
    } catch (error) {
      this.#lines.drop();
      const isMet = [ForeignMessage, NewSnapshot, UnknownColumns, UnknownSchema].some((each) => error instanceof each);
      if (isMet && !this.isEmpty && !this.#isNamed) return false;
      if (error instanceof NewSnapshot) throw snapshotAgain(this.#options.topic, partition, record.offset);
      if (error instanceof ForeignMessage) throw foreign(this.#options.topic, partition, record.offset, error.message);
      throw error;
    }
    const { offset, timestampMs } = record;
    if (timestampMs < this.#oldestTimestampMs) this.#oldestTimestampMs = timestampMs;
    this.#range ??= { partition, first: offset, last: offset, place: { ...NOWHERE } };
    this.#range.last = offset;
    copyPlace(record, this.#range.place);
    return true;
  }

  finish(): Fetched {
    const range = this.#range;
    const ranges: Record<string, OffsetRange> = {};
    if (range !== undefined) ranges[String(range.partition)] = { first: String(range.first), last: String(range.last) };
    const { generation, shape } = this.#options.table;
    const values = this.#areKeys ? this.#keys : this.#values;
    return {
      ranges,
      headers: range === undefined ? {} : { [String(range.partition)]: contentMark(range.place) },
      values,
      placeOf: (value) => this.#places.at(value),
      encoding: this.#areKeys ? 'keys' : 'JSONEachRow',
      rows: values.length,
      bytes: values.reduce((sum, { length }) => sum + length + 1, 0),
      highest: String(this.#highest),
      generation,
      shape,
      ...(this.#truncate === undefined ? {} : { truncate: String(this.#truncate) }),
      ...(this.#streamed ? { streamed: true } : {}),
      ...(this.#areKeys ? { committed: this.#isUntold ? 'unknown' : [...this.#transactions] } : {}),
      oldestTimestampMs: this.#oldestTimestampMs,
    };
  }

  #take(partition: number, record: RecordCursor): boolean {
    const message = this.#message;
    const { bytes, offset, keyStart, keyEnd, valueStart, valueEnd } = record;
    message.read(bytes, keyStart, keyEnd, valueStart, valueEnd);
    const version = versionOf(this.#options.table, offset);
    if (message.kind === 'truncate') {
      this.#truncate = version;
      return true;
    }
    this.#refuseSnapshot();
    const isWhole = this.#writeLine(String(version));
    const line = isWhole ? this.#lines.take() : undefined;
    const isFirst = this.#values.length === 0 && this.#keys.length === 0;
    if (isFirst) this.#areKeys = !isWhole;
    else if (!this.#isNamed && !this.#hasRoom(isWhole, line?.length ?? 0)) return false;
    if (!isWhole) this.#areKeys = true;
    if (this.#areKeys || this.#isNamed) {
      this.#writer.keyAlone(message, String(version), this.#lines);
      this.#keys.push(this.#lines.take());
    }
    if (line !== undefined && (!this.#areKeys || this.#isNamed)) this.#values.push(line);
    this.#places.add(partition, offset, Math.max(this.#keys.length, this.#values.length) - 1);
    this.#bytes += line?.length ?? 0;
    if (message.origin === 'change') this.#streamed = true;
    if (message.transaction !== undefined) this.#transactions.add(message.transaction);
    // A message without a value follows the one with the deletion, which has said it.
    else if (valueStart >= 0 || this.#transactions.size === 0) this.#isUntold = true;
    this.#highest = majorOf(version);
    return true;
  }

  /** Debezium has begun again: what was deleted between its last message and this one has no message. */
  #refuseSnapshot(): void {
    const { streamed } = this.#options;
    if (this.#isNamed || streamed === undefined || this.#message.origin !== 'snapshot') return;
    if (streamed || this.#streamed) throw new NewSnapshot();
  }

  #hasRoom(isWhole: boolean, length: number): boolean {
    const { maxRows, maxBytes, maxKeys = maxRows } = this.#limits;
    if (this.#areKeys) return this.#keys.length < maxKeys;
    return isWhole && this.#values.length < maxRows && this.#bytes + length <= maxBytes;
  }

  /** @returns false where the message does not hold the row */
  #writeLine(version: string): boolean {
    if (this.#message.kind === 'row') return this.#writer.row(this.#message, version, this.#lines);
    this.#writer.tombstone(this.#message, version, this.#lines);
    return true;
  }
}

const NOWHERE = { bytes: Buffer.alloc(0), keyStart: -1, keyEnd: -1, valueStart: -1, valueEnd: -1, timestampMs: 0 };

function copyPlace(from: RecordPlace, to: { -readonly [Field in keyof RecordPlace]: RecordPlace[Field] }): void {
  to.bytes = from.bytes;
  to.keyStart = from.keyStart;
  to.keyEnd = from.keyEnd;
  to.valueStart = from.valueStart;
  to.valueEnd = from.valueEnd;
  to.timestampMs = from.timestampMs;
}

/** Debezium has begun again. */
class NewSnapshot extends Error {}

function snapshotAgain(topic: string, partition: number, offset: number): Failure {
  return new Failure('TopicReplaced', {
    message: `Debezium began a new snapshot at offset ${offset} of ${topic}/${partition}: rows that were deleted before it may have no message.`,
    remedy: 'Remove the table and add it again: that copies it.',
  });
}

function foreign(topic: string, partition: number, offset: number, why: string): Failure {
  return new Failure('TopicReplaced', {
    message: `The message at offset ${offset} of ${topic}/${partition} is none that Debezium writes for this table: ${why}.`,
    remedy:
      'Let one connector write this table alone into the topic, with the JSON or the Avro converter; then remove the table and add it again.',
  });
}
