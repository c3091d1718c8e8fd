import type { Fetcher } from '../../src/kafka/client/fetcher.js';
import { openReader, type TopicReading } from '../../src/topic/reader.js';
import { idsOf, silentLog } from './kafka.js';

/** Everything that is there, as soon as something is. */
export const SOON = { maxRows: 1_000_000, maxBytes: 100_000_000, waitMs: 10_000 };
/** Everything that is there. */
export const NOW = { ...SOON, waitMs: 0 };

/** Reads a topic of one partition, from its beginning. */
export function startReading(fetcher: Fetcher, topic: string): Promise<TopicReading> {
  return openReader(fetcher, topic, { log: silentLog }).start({ '0': '0' });
}

/** Takes until at least so many rows have come. @throws Error where they do not */
export async function takeIds(reading: TopicReading, count: number): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < count) {
    const fetched = await reading.take(SOON);
    if (fetched === undefined) throw new Error(`${ids.length} of ${count} rows came`);
    ids.push(...idsOf(fetched.values));
  }
  return ids;
}
