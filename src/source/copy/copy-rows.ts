import { addAbortSignal, Readable } from 'node:stream';
import type { ClientBase } from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { byPosition, columnType } from '../../domain/column-type.js';
import { quotePg } from '../../domain/identifier.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { versionSql } from '../../domain/version.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { ownRows } from '../outbox/names.js';
import { BEGIN_READING } from '../session.js';
import { explainMissing, lockRowSchemaSql, requireRowSchema } from '../catalog/row-schema.js';

/** At 150 bytes a row this is some 1,700 rows ahead of the sink. */
const BUFFER_BYTES = 256 * 1024;

type CopiedTable = Pick<ReplicatedTable, 'name' | 'relation' | 'columns' | 'generation' | 'shape'> &
  Partial<Pick<ReplicatedTable, 'route'>>;

/** One line a row, with the columns of `targetColumns` in their order. */
export function copySql(table: CopiedTable, position: string): string {
  const values = byPosition(table.columns).map((column) => columnType(column).copy(`source.${quotePg(column.name)}`));
  return /* sql */ `copy (
    select ${[...values, versionSql(table.generation, BigInt(position).toString(), table.shape), '0'].join(', ')}
    from ${ownRows(table)} source
  ) to stdout`;
}

/**
 * The whole table as COPY text, which is ClickHouse's TabSeparated byte for byte: nothing is parsed on the way. Every row
 * carries the allocated position as its version.
 * @param pg a connection of its own, on which nothing else runs until the stream has ended. A stream that was destroyed,
 * aborted or failed leaves it in the middle of a COPY: end it.
 * @param options `onSnapshot`: waited for before the first byte is passed on
 * @returns a stream of bytes. It fails with the signal's reason, or a Failure `SourceUnavailable`, `MissingTable`,
 * `SourceChanged`, `LockTimeout`
 */
export function copyRows(
  pg: ClientBase,
  table: CopiedTable,
  position: string,
  { signal, onSnapshot = () => Promise.resolve() }: { signal: AbortSignal; onSnapshot?: () => Promise<void> },
): Readable {
  async function* read(): AsyncGenerator<Buffer, void, undefined> {
    signal.throwIfAborted();
    try {
      await requireRowSchema(pg, await pg.query(`${BEGIN_READING};${lockRowSchemaSql(table)}`), table);
      const stream = pg.query(copyTo(copySql(table, position), { highWaterMark: BUFFER_BYTES }));
      addAbortSignal(signal, stream);
      let isDurable = false;
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        // The snapshot is taken now: what it shows must be on disk before a byte of it leaves.
        if (!isDurable) await onSnapshot();
        isDurable = true;
        yield chunk;
      }
      await pg.query('commit');
    } catch (error) {
      signal.throwIfAborted();
      const failure = classifyPostgres(error, `copying ${formatTableName(table.name)}`);
      throw explainMissing(failure, error);
    }
  }
  return Readable.from(read(), { objectMode: false, highWaterMark: BUFFER_BYTES });
}
