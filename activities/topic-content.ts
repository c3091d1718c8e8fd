import { decodeRecords } from '../src/avro/decode-records.js';
import type { InsertContent } from '../src/clickhouse/clickhouse-writer.js';
import { requireKafka } from '../src/domain/route.js';
import { EnvelopeReader } from '../src/debezium/own-envelope.js';
import { columnsOfShape } from '../src/domain/shape.js';
import { ShapeBehind } from '../src/pipeline/shape-behind.js';
import type { StageContext } from '../src/pipeline/stage.js';
import { readByKey } from '../src/source/by-key/read-by-key.js';
import type { Fetched } from '../src/topic/fetched.js';
import type { Deps } from './deps.js';

/**
 * What a batch of a topic is for ClickHouse: its values as they are, those of Avro as COPY text, or the rows whose keys they are.
 * @param token of the batch; rows that are read have none, since they are others when they are read again
 * @throws ShapeBehind for rows of a shape that the slice does not know yet; Failure `TopicReplaced` as `decodeRecords`
 */
export function topicContent(
  deps: Deps,
  { table, slice }: Pick<StageContext, 'table' | 'slice'>,
  fetched: Fetched,
  token: string,
): InsertContent {
  const { values, placeOf, encoding, columns: names, rows, bytes, shape, truncate, committed } = fetched;
  if (shape > table.shape) throw new ShapeBehind(table.shape, shape);
  const floor = truncate === undefined ? undefined : BigInt(truncate);
  const common = { kind: 'values', placeOf, shape, rows, floor, token } as const;
  switch (encoding) {
    case 'avro': {
      const decoded = decodeRecords(table, fetched, requireKafka(table.route).topic);
      return { ...common, ...decoded, encoding: 'TabSeparated' };
    }
    case 'envelope': {
      const reader = new EnvelopeReader(columnsOfShape(table, shape) ?? table.columns);
      const lines = values.map((value) => reader.line(value));
      return { ...common, values: lines, encoding: 'JSONEachRow', names, bytes };
    }
    case 'keys':
      return {
        kind: 'stream',
        rows: readByKey(deps, table, { values, bytes, shape, committed }, { signal: slice.signal }),
        floor,
      };
    case 'JSONEachRow':
    case 'TabSeparated':
      return { ...common, values, encoding, names, bytes };
    default:
      return encoding satisfies never;
  }
}
