import type { TopicOffsets } from '../domain/replay.js';
import type { Version } from '../domain/version.js';
import { Failure } from '../failure/failure.js';
import type { Fetched, TakeOptions, TopicReader, TopicReading } from './reader.js';
import type { ForeignTopic } from './topic-source.js';

/** Values are dropped as they come: a megabyte or so is in memory. */
const LIMITS = { maxRows: 50_000, maxBytes: 4_000_000, waitMs: 10_000 };

export interface FindOptions {
  readonly signal: AbortSignal;
  readonly onProgress: () => void;
  /** Where the messages are not ours: it made the form of the reader. */
  readonly foreign?: ForeignTopic | undefined;
}

/**
 * The highest TRUNCATE mark before a range. A mark lies in one partition: a range that begins behind it may hold rows in another
 * partition that it hides.
 * @param low where the topic begins; @param start where the range begins
 * @returns undefined for none
 * @throws Failure those of `TopicReading.take`
 */
export async function findFloor(
  reader: TopicReader,
  { low, start, generation }: { readonly low: TopicOffsets; readonly start: TopicOffsets; readonly generation: number },
  { signal, onProgress, foreign }: FindOptions,
): Promise<Version | undefined> {
  let floor: Version | undefined;
  const next: Record<string, string> = { ...low };
  const isDone = (): boolean =>
    Object.entries(next).every(([of, offset]) => BigInt(offset) >= BigInt(start[of] ?? '0'));
  if (isDone()) return undefined;
  using reading = await reader.start(low, { generation });
  while (!isDone()) {
    signal.throwIfAborted();
    const fetched = await take(reading, { ...LIMITS, ends: start, signal }, foreign);
    if (fetched === undefined)
      throw new Failure('BrokerUnavailable', { message: 'The topic did not show what lies before the range.' });
    for (const [of, { last }] of Object.entries(fetched.ranges)) next[of] = String(BigInt(last) + 1n);
    const mark = BigInt(fetched.truncate ?? '0');
    if (mark > (floor ?? 0n)) floor = mark;
    onProgress();
  }
  return floor;
}

async function take(
  reading: TopicReading,
  options: TakeOptions,
  foreign: ForeignTopic | undefined,
): Promise<Fetched | undefined> {
  for (;;)
    try {
      return await reading.take(options);
    } catch (error) {
      if (foreign === undefined) throw error;
      await foreign.learn(error);
    }
}
