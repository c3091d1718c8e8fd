import { Failure } from '../failure/failure.js';
import { parseHeader } from '../messages/header.js';
import type { TopicState } from './admin.js';
import { readLastHeaders } from './last-headers.js';
import type { TopicReader } from './reader.js';

/**
 * Looks at the last record of each partition. Messages of before deployments had an identity name none, and messages of others
 * than pg2click are passed over: both were always accepted.
 * @param reader its form is `lastRecords`
 * @returns the first deployment found that is not `own`
 */
export async function findOtherOrigin(
  reader: TopicReader,
  state: TopicState,
  own: string,
): Promise<string | undefined> {
  try {
    for (const header of (await readLastHeaders(reader, state)).values()) {
      const origin = parseHeader(header)?.origin;
      if (origin !== undefined && origin !== own) return origin;
    }
  } catch (error) {
    if (!(error instanceof Failure) || error.kind !== 'TopicReplaced') throw error;
  }
  return undefined;
}
