import { Failure } from '../failure/failure.js';
import { parseHeader } from '../messages/header.js';
import type { TopicState } from './admin.js';
import type { TopicReader } from './reader.js';

/** Only last records are read: what has not come by then is not there, e.g. the end of a transaction. */
const WAIT_MS = 2_000;
const LIMITS = { maxRows: 1_000, maxBytes: 1_000_000 };

/**
 * Looks at the last record of each partition. Messages of before deployments had an identity name none, and messages of others
 * than pg2click are passed over: both were always accepted.
 * @param reader takes messages of all origins
 * @returns the first deployment found that is not `own`
 */
export async function findOtherOrigin(
  reader: TopicReader,
  { offsets }: TopicState,
  own: string,
): Promise<string | undefined> {
  const last = new Map<string, string>();
  const start: Record<string, string> = {};
  for (const [partition, { low, high }] of Object.entries(offsets)) {
    const isEmpty = BigInt(high) <= BigInt(low);
    start[partition] = isEmpty ? high : String(BigInt(high) - 1n);
    if (!isEmpty) last.set(partition, start[partition]);
  }
  if (last.size === 0) return undefined;
  using reading = await reader.start(start);
  try {
    while (last.size > 0) {
      const fetched = await reading.take({ ...LIMITS, waitMs: WAIT_MS });
      if (fetched === undefined) return undefined;
      for (const [partition, header] of Object.entries(fetched.headers)) {
        last.delete(partition);
        const origin = parseHeader(header)?.origin;
        if (origin !== undefined && origin !== own) return origin;
      }
    }
  } catch (error) {
    if (!(error instanceof Failure) || error.kind !== 'TopicReplaced') throw error;
  }
  return undefined;
}
