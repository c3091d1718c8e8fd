import { Failure } from '../failure/failure.js';
import type { TopicLocation } from '../kafka/client/brokers.js';
import type { GroupOffsets } from './group-offsets.js';
import type { TopicReader } from './reader.js';

/** The record is there: what has not come by then is not to be read. */
const WAIT_MS = 2_000;
const ONE = { maxRows: 1, maxBytes: 1 };

/**
 * Headers of the records before these offsets, for `TopicReader.start` to compare later. A partition that has no record there, or
 * one that is not ours, is left out.
 */
export async function headersBefore(
  reader: TopicReader,
  offsets: GroupOffsets,
  { offsets: known }: Pick<TopicLocation, 'offsets'>,
): Promise<Readonly<Record<string, string>>> {
  const headers: Record<string, string> = {};
  const ends = Object.fromEntries(Object.entries(known).map(([partition, { high }]) => [partition, high]));
  for (const [partition, offset] of Object.entries(offsets)) {
    if (BigInt(offset) <= BigInt(known[partition]?.low ?? offset)) continue;
    const header = await headerAt(reader, { ...ends, [partition]: String(BigInt(offset) - 1n) }, partition);
    if (header !== undefined) headers[partition] = header;
  }
  return headers;
}

/** @param start by partition: the record, and the ends of the others, so that nothing else comes */
async function headerAt(reader: TopicReader, start: GroupOffsets, partition: string): Promise<string | undefined> {
  using reading = await reader.start(start);
  try {
    const fetched = await reading.take({ ...ONE, waitMs: WAIT_MS });
    const range = fetched?.ranges[partition];
    const isIt = range?.first === start[partition] && range?.last === start[partition];
    return isIt ? fetched?.headers[partition] : undefined;
  } catch (error) {
    if (error instanceof Failure && error.kind === 'TopicReplaced') return undefined;
    throw error;
  }
}
