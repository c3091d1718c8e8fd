import type { Fetcher } from '../../src/transport/fetcher.js';
import { openReader, type TopicReader } from '../../src/transport/reader.js';
import { idsOf, silentLog } from './kafka.js';

/** Everything that is there, as soon as something is. */
export const SOON = { maxRows: 1_000_000, maxBytes: 100_000_000, waitMs: 10_000 };
/** Everything that is there. */
export const NOW = { ...SOON, waitMs: 0 };

/** A reader of a topic of one partition, from its beginning. */
export async function startReader(fetcher: Fetcher, topic: string): Promise<TopicReader> {
  const reader = openReader(fetcher, topic, { log: silentLog });
  await reader.start({ '0': '0' });
  return reader;
}

/** Takes until at least so many rows have come. @throws Error where they do not */
export async function takeIds(reader: TopicReader, count: number): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < count) {
    const fetched = await reader.take(SOON);
    if (fetched === undefined) throw new Error(`${ids.length} of ${count} rows came`);
    ids.push(...idsOf(fetched.values));
  }
  return ids;
}
