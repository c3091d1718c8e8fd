import type { OffsetBatch } from '../domain/batch.js';
import { majorOf } from '../domain/version.js';
import type { SourceBacklog } from '../pipeline/backlog.js';
import type { GroupPosition } from './group-source.js';
import type { TopicPosition } from './topic-source.js';

/**
 * What waits in a topic for one of its readers, from the ledger alone: everything up to `published` is in the topic.
 * @param stage the reader's row of the ledger
 */
export function topicBacklog(
  published: bigint,
  stage: { readonly position: unknown; readonly pending: unknown },
): SourceBacklog {
  const { highest = '0', since = '0', read } = stage.position as Partial<GroupPosition & TopicPosition>;
  const highestLoaded = majorOf(BigInt(highest));
  const fromRows = highestLoaded > BigInt(since) ? highestLoaded : BigInt(since);
  // A reader that sets bad messages aside may have read further than what it loaded.
  const loaded = read === undefined ? fromRows : BigInt(read);
  const pending = stage.pending as OffsetBatch | null;
  const inHand = Object.values(pending?.ranges ?? {}).reduce(
    (sum, { first, last }) => sum + Number(BigInt(last) - BigInt(first)) + 1,
    0,
  );
  // A batch of late events has positions below what is loaded already: only its name tells that it waits.
  return { waiting: Math.max(Number(published - loaded), inHand, 0), newest: published, done: loaded };
}
