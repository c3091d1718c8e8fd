import type { ReadingPool } from '../../connect/reading-pool.js';
import { MOST_MESSAGE_BYTES, type Changes } from '../../domain/change.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import type { Version } from '../../domain/version.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { largeRowRemedy } from '../../failure/remedies.js';
import type { ReadOptions } from '../../pipeline/batch.js';
import type { RowContent, RowText, StreamContent } from '../../pipeline/row-batch.js';
import { explainMissing, lockRowSchemaSql, requireRowSchema } from '../catalog/row-schema.js';
import { copyOut, type CopyOut } from '../copy/copy-out.js';
import { countedText } from '../copy/counted-text.js';
import { DrainLines } from '../outbox/drain-lines.js';
import { filterFailure } from '../filter-failure.js';
import { BEGIN_READING, LOOK_UP_BY_INDEX } from '../session.js';
import type { PollBatch } from './position.js';
import { linesSql, markLine, streamSql } from './rows-sql.js';

export interface RowReader {
  readonly reading: ReadingPool;
  readonly table: ReplicatedTable;
}

/**
 * The rows of a named batch as COPY text, in ascending order of their ids.
 * @throws the signal's reason; Failure `SourceUnavailable`, `SourceChanged`, `MissingTable`, `LockTimeout`
 */
export function readStream(reader: RowReader, batch: PollBatch, content: StreamContent, options: ReadOptions): RowText {
  let copy: CopyOut | undefined;
  const rows = readRows(reader, batch, streamSql(reader.table, batch, content), options, (begun) => (copy = begun));
  return countedText(rows, () => copy?.rows ?? 0);
}

/**
 * The same for a topic.
 * @param floor goes before the rows: what is at or below it is hidden
 * @throws likewise; `MessageTooLarge`
 */
export async function* readChanges(
  reader: RowReader,
  batch: PollBatch,
  { content, floor }: { readonly content: RowContent; readonly floor: Version | undefined },
  options: ReadOptions,
): AsyncGenerator<Changes, void, undefined> {
  const lines = new DrainLines(content.rows);
  if (floor !== undefined) yield lines.feed(markLine(floor));
  for await (const chunk of readRows(reader, batch, linesSql(reader.table, batch, content), options)) {
    const changes = lines.feed(chunk);
    if (lines.cutBytes > MOST_MESSAGE_BYTES)
      throw new Failure('MessageTooLarge', {
        message: `A row of ${formatTableName(reader.table.name)}, whose key is (${reader.table.key.join(', ')}), in publish batch ${batch.batch} is larger than ${MOST_MESSAGE_BYTES} bytes, the most that goes through Kafka.`,
        remedy: `${largeRowRemedy(reader.table)} Or remove the table and add it with --transport direct.`,
      });
    if (changes.length > 0) yield changes;
  }
}

async function* readRows(
  { reading, table }: RowReader,
  batch: PollBatch,
  sql: string,
  { signal, onProgress }: ReadOptions,
  onBegun: (copy: CopyOut) => void = () => undefined,
): AsyncGenerator<Buffer, void, undefined> {
  if (batch.ids.length === 0) return;
  await using lease = await reading.lease({ signal, onWait: () => onProgress() });
  const pg = lease.client;
  try {
    await requireRowSchema(
      pg,
      await pg.query(`${BEGIN_READING};${LOOK_UP_BY_INDEX};${lockRowSchemaSql(table)}`),
      table,
    );
    const copy = copyOut(pg, sql, { signal });
    onBegun(copy);
    for await (const chunk of copy as AsyncIterable<Buffer>) yield chunk;
    await pg.query('commit');
  } catch (error) {
    signal.throwIfAborted();
    const failure = classifyPostgres(error, `reading batch ${batch.batch} of ${formatTableName(table.name)}`);
    throw filterFailure(table, error) ?? explainMissing(failure, error);
  }
  lease.keep();
}
