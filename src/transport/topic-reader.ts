import type { OffsetRange } from '../domain/batch.js';
import type { Log } from '../observe/log.js';
import type { Fetched, FetchLimits } from './fetched.js';

export interface ReaderOptions {
  readonly log: Log;
  /** Fetched messages that wait to be taken, in bytes; 64 MB by default. One response (16 MB) may come on top. */
  readonly memoryBytes?: number | undefined;
}

export interface StartOptions {
  /** The table's own: messages of older ones are passed over and counted. Without it, that of the first message taken. */
  readonly generation?: number | undefined;
  /** By partition: text of the header of the record before the offset, where known. It is read again and compared. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface TakeOptions extends FetchLimits {
  /** How long to wait when there is nothing, milliseconds. */
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a topic of ours from the ledger's position.
 *
 * Its one invariant: what is taken continues where the last take ended, offset by offset, or a take fails. kafkajs moves its
 * position by itself (it jumps to the first offset when ours is out of range, and starts at the beginning after a rejoin), so
 * each partition is a `Lane` that accepts the next offset and no other. A crash between any two lines costs nothing: the
 * position is the ledger's.
 */
export interface TopicReader {
  /**
   * Reads from these offsets on; every partition is named. Drops what is queued. Must be called again after any failure.
   * @throws Failure `OffsetsExpired`, `TopicReplaced`, `PartitionsChanged`, `BrokerUnavailable` (within about 15 s), `Unauthorized`
   */
  start(offsets: Readonly<Record<string, string>>, options?: StartOptions): Promise<void>;
  /**
   * Text of our header of one record; the reader must be started (again) after it.
   * @returns undefined when the record has expired or is not there; empty when it has no header of ours
   */
  readHeader(partition: number, offset: string): Promise<string | undefined>;
  /**
   * What is there, at once; waits only where there is nothing.
   * @returns undefined when nothing came within `waitMs`, or the signal was aborted
   * @throws Failure `OffsetGap`, `OffsetsExpired`, `TopicReplaced`, `PartitionsChanged`, `Fenced`, `BrokerUnavailable`
   */
  take(options: TakeOptions): Promise<Fetched | undefined>;
  /**
   * A batch that was named before, whole: the same bytes. The ranges begin at the position.
   * @throws as `take`; `TopicReplaced` when the topic ends before the ranges do; the signal's reason
   */
  takeExactly(
    ranges: Readonly<Record<string, OffsetRange>>,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<Fetched>;
  /** Messages that are in the topic and were not taken, as far as is known. */
  waiting(): number;
  /** Leaves and deletes the private groups, best effort. */
  close(): Promise<void>;
}
