import type { MessagePlace } from '../domain/batch.js';
import { messageColumns } from '../domain/column-type.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { columnsOfShape } from '../domain/shape.js';
import { LineBuffer } from '../pipeline/line-buffer.js';
import { Failure } from '../failure/failure.js';
import { avroColumns } from './avro-type.js';
import { MalformedRecord } from './input.js';
import { RecordReader } from './record-reader.js';

export interface DecodedRecords {
  /** Lines of COPY text, one for each message. */
  readonly values: readonly Buffer[];
  /** The columns of the lines, in their order. */
  readonly names: readonly string[];
  readonly bytes: number;
}

/**
 * The rows of messages in Avro as COPY text. Their schema follows from their shape, which the ledger has: so what is in the topic is
 * loaded also while the registry is away, or has forgotten it.
 *
 * @throws Failure `TopicReplaced` for a message that is no record of its shape
 */
export function decodeRecords(
  table: ReplicatedTable,
  { values, shape, placeOf }: { values: readonly Buffer[]; shape: number; placeOf: (value: number) => MessagePlace },
  topic: string,
): DecodedRecords {
  const columns = columnsOfShape(table, shape) ?? table.columns;
  const reader = new RecordReader(avroColumns({ columns, key: table.key }));
  const lines = new LineBuffer();
  let bytes = 0;
  const decoded = values.map((value, index) => {
    try {
      reader.row(value, lines);
    } catch (error) {
      if (!(error instanceof MalformedRecord)) throw error;
      const { partition, offset } = placeOf(index);
      throw new Failure('TopicReplaced', {
        message: `The message at offset ${offset} of ${topic}/${partition} is no record of shape ${shape} of the table: ${error.message}.`,
        cause: error,
      });
    }
    const line = lines.take();
    bytes += line.length + 1;
    return line;
  });
  return { values: decoded, names: messageColumns({ columns }), bytes };
}
