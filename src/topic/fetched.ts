import { versionOfRecord } from '../avro/record-reader.js';
import { MAGIC } from '../avro/record-writer.js';
import type { MessagePlace, OffsetRange } from '../domain/batch.js';
import type { Failure } from '../failure/failure.js';
import type { RecordCursor } from '../kafka/protocol/record-batch-reader.js';
import { COLUMNS_HEADER, HeaderReader, MESSAGE_HEADER, type MessageKind } from '../messages/header.js';
import { foreignMessage, newerGeneration, otherDeployment } from './errors.js';
import { MessagePlaces } from './message-places.js';

const HEADER = Buffer.from(MESSAGE_HEADER);
const COLUMNS = Buffer.from(COLUMNS_HEADER);

/** What was taken from a topic: a batch that is about to be named. All its rows have one shape, encoding and list of columns. */
export interface Fetched {
  /** By partition; messages that were skipped lie within. */
  readonly ranges: Readonly<Record<string, OffsetRange>>;
  /** By partition: text of the header of the last record. */
  readonly headers: Readonly<Record<string, string>>;
  /** Lines in `encoding`, or blocks of them separated by newlines; without a newline at the end. */
  readonly values: readonly Buffer[];
  /** Which message a value is, by its index. */
  readonly placeOf: (value: number) => MessagePlace;
  /**
   * The format of the lines, as ClickHouse calls it. `keys`: JSON of the key and the version alone; the rows have to be read. `avro`: each
   * value is a message in the wire format of Confluent, of the schema of the shape. `envelope`: rows in Debezium's envelope, one a value.
   */
  readonly encoding: 'JSONEachRow' | 'TabSeparated' | 'keys' | 'avro' | 'envelope';
  /** The columns of TabSeparated lines, in their order; undefined for JSON. */
  readonly columns?: readonly string[];
  /** Rows in the values. */
  readonly rows: number;
  readonly bytes: number;
  /** Highest `seq`, decimal; `0` for nothing. */
  readonly highest: string;
  readonly generation: number;
  /** The number of the form that the table had when the rows were written, from 1. */
  readonly shape: number;
  /** Highest version of the TRUNCATE markers, a decimal UInt128. */
  readonly truncate?: string;
  /**
   * Of keys whose messages left PostgreSQL before its sessions may have seen the change: the transactions, 32 bits each, that must be
   * visible before the rows are read. `unknown` where messages do not say them.
   */
  readonly committed?: readonly number[] | 'unknown';
  /** Of messages of others: changes are among them, and not only what a snapshot saw. */
  readonly streamed?: boolean;
  /** When the oldest message was sent, by the clock of the producer, milliseconds. */
  readonly oldestTimestampMs: number;
}

export interface FetchLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
  /** Of messages that have the key alone; `maxRows` when absent. */
  readonly maxKeys?: number;
}

/** What the messages of a batch must have in common. */
export interface Expected {
  /** The table's own; without one, that of the first message. */
  readonly generation?: number | undefined;
  /** The deployment's own, as `originNumber` gives it; without one any is taken. Messages of the old form have none. */
  readonly origin?: number | undefined;
  /** Makes the batches where the messages are not ours. */
  readonly form?: MessageForm | undefined;
}

/** Puts messages of others together. @param isNamed the batch was read before, and ends where it ended then */
export type MessageForm = (limits: FetchLimits, isNamed: boolean) => BatchBuilder;

/** Takes messages one by one. Its invariant: the messages of a partition are consecutive. */
export interface BatchBuilder {
  readonly isEmpty: boolean;
  /** @returns the last offset taken of the partition */
  lastOf(partition: number): number | undefined;
  /**
   * Takes the record that the cursor stands on, or leaves it for the next batch.
   * @returns whether it was taken
   * @throws what it cannot take: when it is the first
   */
  offer(partition: number, record: RecordCursor): boolean;
  finish(): Fetched;
}

/** A line begins with no zero: JSON has none, and COPY text has no NUL. */
type RowKind = 'lines' | 'keys' | 'avro' | 'envelope';

/** Of one partition; with the place of the last record's header. */
interface Range {
  readonly first: number;
  last: number;
  bytes: Buffer;
  headerStart: number;
  headerEnd: number;
}

/** The columns of COPY text: the header's bytes, and what they say. */
interface Columns {
  readonly bytes: Buffer;
  readonly names: readonly string[];
}

/**
 * Puts messages together until the limits are reached or something comes that does not belong; at least one message. Its
 * invariant: the messages of a partition are consecutive.
 */
export class FetchedBuilder implements BatchBuilder {
  readonly #topic: string;
  readonly #limits: FetchLimits;
  readonly #origin: number | undefined;
  readonly #header = new HeaderReader();
  readonly #ranges = new Map<number, Range>();
  readonly #values: Buffer[] = [];
  readonly #places = new MessagePlaces();
  #generation: number | undefined;
  #shape: number | undefined;
  /** Undefined for JSON. */
  #columns: Columns | undefined;
  /** Undefined before the first row. */
  #kind: RowKind | undefined;
  #rows = 0;
  #bytes = 0;
  #highest: number | bigint = 0;
  #truncate = 0n;
  #oldestTimestampMs = Number.MAX_SAFE_INTEGER;

  constructor(topic: string, limits: FetchLimits, expected: Expected = {}) {
    this.#topic = topic;
    this.#limits = limits;
    this.#generation = expected.generation;
    this.#origin = expected.origin;
  }

  get isEmpty(): boolean {
    return this.#ranges.size === 0;
  }

  /** @returns the last offset taken of the partition */
  lastOf(partition: number): number | undefined {
    return this.#ranges.get(partition)?.last;
  }

  /**
   * Takes the record that the cursor stands on, or leaves it for the next batch.
   * @returns whether it was taken
   * @throws Failure `TopicReplaced` for a message that is not ours, `Fenced` for one of a newer generation: when it is the first
   */
  offer(partition: number, record: RecordCursor): boolean {
    const header = this.#header;
    const { bytes, offset, valueStart } = record;
    const isOurs =
      record.findHeader(HEADER) &&
      header.read(bytes, record.headerStart, record.headerEnd) &&
      valueStart >= 0 === (header.kind !== 'tombstone');
    if (!isOurs) return this.#refuse(() => foreignMessage(this.#topic, partition, offset));
    const { headerStart, headerEnd } = record;
    const { origin, generation } = header;
    if (this.#origin !== undefined && origin !== undefined && origin !== this.#origin) {
      const own = this.#origin;
      return this.#refuse(() => otherDeployment({ topic: this.#topic, partition, offset }, origin, own));
    }
    this.#generation ??= generation;
    if (generation > this.#generation) return this.#refuse(() => newerGeneration(this.#topic, partition, offset));
    // Messages of an older generation are passed over.
    if (generation === this.#generation) {
      if (header.shape !== (this.#shape ??= header.shape)) return false;
      if (!this.#takeContent(partition, record)) return false;
      if (header.highest > this.#highest) this.#highest = header.highest;
    }
    if (record.timestampMs < this.#oldestTimestampMs) this.#oldestTimestampMs = record.timestampMs;
    const range = this.#ranges.get(partition);
    if (range === undefined) {
      this.#ranges.set(partition, { first: offset, last: offset, bytes, headerStart, headerEnd });
      return true;
    }
    range.last = offset;
    range.bytes = bytes;
    range.headerStart = headerStart;
    range.headerEnd = headerEnd;
    return true;
  }

  finish(): Fetched {
    const ranges: Record<string, OffsetRange> = {};
    const headers: Record<string, string> = {};
    for (const [partition, { first, last, bytes, headerStart, headerEnd }] of this.#ranges) {
      ranges[String(partition)] = { first: String(first), last: String(last) };
      headers[String(partition)] = bytes.toString('latin1', headerStart, headerEnd);
    }
    return {
      ranges,
      headers,
      values: this.#values,
      placeOf: (value) => this.#places.at(value),
      encoding: this.#encoding(),
      ...(this.#columns === undefined ? {} : { columns: this.#columns.names }),
      rows: this.#rows,
      bytes: this.#bytes,
      highest: String(this.#highest),
      generation: this.#generation ?? 0,
      shape: this.#shape ?? 1,
      ...(this.#truncate === 0n ? {} : { truncate: String(this.#truncate) }),
      oldestTimestampMs: this.#oldestTimestampMs,
    };
  }

  #takeContent(partition: number, record: RecordCursor): boolean {
    const { kind } = this.#header;
    if (kind === 'truncate') return this.#takeTruncate(partition, record);
    // The deletion before it has said what it says.
    return kind === 'tombstone' || this.#takeRows(partition, record);
  }

  #takeTruncate(partition: number, record: RecordCursor): boolean {
    const version = versionOf(record);
    if (version === undefined) return this.#refuse(() => foreignMessage(this.#topic, partition, record.offset));
    if (version > this.#truncate) this.#truncate = version;
    return true;
  }

  #takeRows(partition: number, record: RecordCursor): boolean {
    const { maxRows, maxBytes, maxKeys = maxRows } = this.#limits;
    const { rows, kind } = this.#header;
    const rowKind = rowKindOf(kind, record.bytes[record.valueStart]);
    const length = record.valueEnd - record.valueStart;
    const most = rowKind === 'keys' ? maxKeys : maxRows;
    if (!this.isEmpty && (this.#rows + rows > most || this.#bytes + length > maxBytes)) return false;
    if (rowKind !== (this.#kind ?? rowKind)) return false;
    if (!this.#takeColumns(partition, record)) return false;
    this.#kind = rowKind;
    this.#places.add(partition, record.offset, this.#values.length);
    this.#values.push(record.bytes.subarray(record.valueStart, record.valueEnd));
    this.#rows += rows;
    this.#bytes += length + 1;
    return true;
  }

  #encoding(): Fetched['encoding'] {
    const kind = this.#kind ?? 'lines';
    if (kind !== 'lines') return kind;
    return this.#columns === undefined ? 'JSONEachRow' : 'TabSeparated';
  }

  /** @returns whether the rows are written as those before them */
  #takeColumns(partition: number, record: RecordCursor): boolean {
    // A message of JSON rows has one header: nothing to look for.
    const hasColumns = record.headerCount > 1 && record.findHeader(COLUMNS);
    if (this.#values.length > 0) {
      if (this.#columns === undefined || !hasColumns) return (this.#columns === undefined) === !hasColumns;
      const { bytes, headerStart, headerEnd } = record;
      return this.#columns.bytes.compare(bytes, headerStart, headerEnd) === 0;
    }
    if (!hasColumns) return true;
    this.#columns = columnsOf(record);
    return this.#columns !== undefined || this.#refuse(() => foreignMessage(this.#topic, partition, record.offset));
  }

  /** The messages before it are good, and go first. */
  #refuse(failure: () => Failure): false {
    if (this.isEmpty) throw failure();
    return false;
  }
}

function rowKindOf(kind: MessageKind, first: number | undefined): RowKind {
  if (kind === 'key') return 'keys';
  if (kind === 'envelope') return kind;
  return first === MAGIC ? 'avro' : 'lines';
}

function columnsOf({ bytes, headerStart, headerEnd }: RecordCursor): Columns | undefined {
  // A copy: the batch outlives the response.
  const text = Buffer.from(bytes.subarray(headerStart, headerEnd));
  try {
    const names: unknown = JSON.parse(text.toString());
    const areNames = Array.isArray(names) && names.every((name) => typeof name === 'string');
    return areNames ? { bytes: text, names } : undefined;
  } catch {
    return undefined;
  }
}

/** Of a TRUNCATE marker, whose value is `{"_version": "<decimal>"}`, or a record with that version. */
function versionOf({ bytes, valueStart, valueEnd }: RecordCursor): bigint | undefined {
  if (bytes[valueStart] === MAGIC) return versionOfRecord(bytes.subarray(valueStart, valueEnd));
  const version = /"_version"\s*:\s*"?(\d{1,39})"?/u.exec(bytes.toString('latin1', valueStart, valueEnd))?.[1];
  return version === undefined ? undefined : BigInt(version);
}
