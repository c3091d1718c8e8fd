import type { OffsetRange } from '../domain/batch.js';
import { Failure } from '../failure/failure.js';
import { readLabel } from './header-bytes.js';
import type { RecordCursor } from './record-batch-reader.js';

/** What was taken from a topic: a batch in the making. */
export interface Fetched {
  /** By partition; what was skipped lies within. */
  readonly ranges: Readonly<Record<string, OffsetRange>>;
  /** By partition: text of the header of the last record. */
  readonly headers: Readonly<Record<string, string>>;
  /** JSON objects, or newline-separated blocks of them; without a newline at the end. */
  readonly values: readonly Buffer[];
  /** Rows in the values. */
  readonly rows: number;
  readonly bytes: number;
  /** Highest `seq`, decimal; `0` for nothing. */
  readonly highest: string;
  readonly generation: number;
  /** Highest version of the TRUNCATE marks, a decimal UInt128. */
  readonly truncate?: string;
  /** Messages of an older history: they are passed over. */
  readonly skipped: number;
  /** When the oldest message was sent, by the clock of the producer, milliseconds. */
  readonly oldestTimestampMs: number;
}

export interface FetchLimits {
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** Of one partition; with the place of the last record's header. */
interface Range {
  readonly first: number;
  last: number;
  bytes: Buffer;
  headerStart: number;
  headerEnd: number;
}

/** Puts messages together until the limits are reached or something comes that does not belong; at least one message. */
export class FetchedBuilder {
  readonly #topic: string;
  readonly #limits: FetchLimits;
  readonly #ranges = new Map<number, Range>();
  readonly #values: Buffer[] = [];
  #generation: number | undefined;
  #rows = 0;
  #bytes = 0;
  #highest: number | bigint = 0;
  #truncate = 0n;
  #skipped = 0;
  #oldestTimestampMs = Number.MAX_SAFE_INTEGER;

  /** @param generation the table's own; without one, that of the first message */
  constructor(topic: string, limits: FetchLimits, generation?: number) {
    this.#topic = topic;
    this.#limits = limits;
    this.#generation = generation;
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
    const { bytes, offset, headerStart, headerEnd, valueStart } = record;
    const label = headerStart < 0 || valueStart < 0 ? undefined : readLabel(bytes, headerStart, headerEnd);
    if (label === undefined) return this.#refuse(() => foreign(this.#topic, partition, offset));
    this.#generation ??= label.generation;
    if (label.generation > this.#generation) return this.#refuse(() => fenced(this.#topic, partition, offset));
    if (label.generation < this.#generation) {
      this.#skipped += 1;
    } else if (label.truncate) {
      const version = versionOf(record);
      if (version === undefined) return this.#refuse(() => foreign(this.#topic, partition, offset));
      if (version > this.#truncate) this.#truncate = version;
      if (label.highest > this.#highest) this.#highest = label.highest;
    } else {
      const { maxRows, maxBytes } = this.#limits;
      const length = record.valueEnd - valueStart;
      if (!this.isEmpty && (this.#rows + label.rows > maxRows || this.#bytes + length > maxBytes)) return false;
      this.#values.push(bytes.subarray(valueStart, record.valueEnd));
      this.#rows += label.rows;
      this.#bytes += length + 1;
      if (label.highest > this.#highest) this.#highest = label.highest;
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
      rows: this.#rows,
      bytes: this.#bytes,
      highest: String(this.#highest),
      generation: this.#generation ?? 0,
      ...(this.#truncate === 0n ? {} : { truncate: String(this.#truncate) }),
      skipped: this.#skipped,
      oldestTimestampMs: this.#oldestTimestampMs,
    };
  }

  /** What comes before it is good, and goes first. */
  #refuse(failure: () => Failure): false {
    if (this.isEmpty) throw failure();
    return false;
  }
}

function foreign(topic: string, partition: number, offset: number): Failure {
  return new Failure('TopicReplaced', {
    message: `The message at offset ${offset} of ${topic}/${partition} was not written by pg2click.`,
    remedy:
      'Something else writes into the topic: stop it, then remove the table and add it again with a topic of its own.',
  });
}

function fenced(topic: string, partition: number, offset: number): Failure {
  return new Failure('Fenced', {
    message: `The message at offset ${offset} of ${topic}/${partition} belongs to a newer generation of the table.`,
  });
}

/** Of a mark, whose value is `{"_version": "<decimal>"}`. */
function versionOf({ bytes, valueStart, valueEnd }: RecordCursor): bigint | undefined {
  const version = /"_version"\s*:\s*"?(\d{1,39})"?/u.exec(bytes.toString('latin1', valueStart, valueEnd))?.[1];
  return version === undefined ? undefined : BigInt(version);
}
