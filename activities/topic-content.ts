import { loadToken, type OffsetBatch } from '../src/domain/batch.js';
import type { InsertContent } from '../src/clickhouse/clickhouse-writer.js';
import type { StageContext } from '../src/pipeline/stage.js';
import { readByKey } from '../src/source/by-key/read-by-key.js';
import type { Fetched } from '../src/topic/fetched.js';
import type { TopicRow } from '../src/topic/topic-source.js';
import type { Deps } from './deps.js';

/** What a batch of a topic is for ClickHouse: its values as they are, or the rows whose keys they are. */
export function topicContent(
  deps: Deps,
  { table, stage, slice }: StageContext<TopicRow>,
): (fetched: Fetched, name: OffsetBatch) => InsertContent {
  return ({ values, encoding, columns, rows, bytes, shape, truncate }, name) => {
    const floor = truncate === undefined ? undefined : BigInt(truncate);
    if (encoding !== 'keys')
      return { kind: 'values', values, encoding, columns, rows, bytes, floor, token: loadToken(table, stage, name) };
    // Read again it is another content: no token.
    return { kind: 'stream', rows: readByKey(deps, table, { values, bytes, shape }, { signal: slice.signal }), floor };
  };
}
