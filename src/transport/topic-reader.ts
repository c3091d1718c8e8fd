import type { OffsetRange } from '../domain/batch.js';
import type { Log } from '../observe/log.js';
import type { Fetched, FetchLimits } from './fetched.js';

export interface ReaderOptions {
  readonly log: Log;
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
 * Its one invariant: what is taken continues where the last take ended, offset by offset, or a take fails. Each partition is a
 * `Lane` that accepts the next offset and no other; and whenever the topic was out of sight (an error, another leader, a second
 * without an answer) the record before the position is read again and compared, since a topic that was deleted and made anew
 * goes on at the same offset. A crash between any two lines costs nothing: the position is the ledger's.
 */
export interface TopicReader {
  /**
   * Reads from these offsets on; every partition is named. Ends the reading that was started before: who takes from that, a slice
   * that does not know yet that it was overtaken, is fenced. Must be called again after any failure.
   * @throws Failure `OffsetsExpired`, `TopicReplaced`, `PartitionsChanged`, `BrokerUnavailable` (within about 15 s), `Unauthorized`, `Fenced`
   */
  start(offsets: Readonly<Record<string, string>>, options?: StartOptions): Promise<TopicReading>;
}

/** What comes after one start. `using` ends it. */
export interface TopicReading extends Disposable {
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
}
