import type { InsertContent } from '../src/clickhouse/clickhouse-writer.js';
import { ShapeBehind } from '../src/pipeline/shape-behind.js';
import type { StageContext } from '../src/pipeline/stage.js';
import { readByKey } from '../src/source/by-key/read-by-key.js';
import type { Fetched } from '../src/topic/fetched.js';
import type { Deps } from './deps.js';

/**
 * What a batch of a topic is for ClickHouse: its values as they are, or the rows whose keys they are.
 * @param token of the batch; rows that are read have none, since they are others when they are read again
 * @throws ShapeBehind for rows of a shape that the slice does not know yet
 */
export function topicContent(
  deps: Deps,
  { table, slice }: Pick<StageContext, 'table' | 'slice'>,
  { values, placeOf, encoding, columns: names, rows, bytes, shape, truncate, committed }: Fetched,
  token: string,
): InsertContent {
  if (shape > table.shape) throw new ShapeBehind(table.shape, shape);
  const floor = truncate === undefined ? undefined : BigInt(truncate);
  if (encoding !== 'keys')
    return { kind: 'values', values, placeOf, encoding, names, shape, rows, bytes, floor, token };
  return {
    kind: 'stream',
    rows: readByKey(deps, table, { values, bytes, shape, committed }, { signal: slice.signal }),
    floor,
  };
}
