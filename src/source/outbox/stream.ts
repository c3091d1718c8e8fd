import type { ClientBase } from 'pg';
import type { OutboxBatch } from '../../domain/batch.js';
import { formatTableName } from '../../domain/table-name.js';
import { composeVersion, type Version } from '../../domain/version.js';
import { Failure } from '../../failure/failure.js';
import type { RowText } from '../../pipeline/row-batch.js';
import { copyOut, type CopyOut } from '../copy/copy-out.js';
import { countedText } from '../copy/counted-text.js';
import { BEGIN_SNAPSHOT } from '../session.js';
import { beginDrain, explainDrain, hasLooseKeys, unknownKeys, type ReadTable } from './drain-transaction.js';
import { batchEventsSql, streamSql, type BatchEvents } from './stream-sql.js';

const NEWLINE = 0x0a;

export interface StreamOptions {
  readonly signal: AbortSignal;
  /** Awaited before the first row is asked for, where what the snapshot shows may not be on disk. */
  readonly ensureFlushed: () => Promise<void>;
}

export interface BatchStream {
  /** COPY text. After its end the transaction is open; destroyed before, it leaves the connection in the middle of a COPY: end that. */
  readonly rows: RowText;
  /** Of the highest TRUNCATE mark. */
  readonly floor: Version | undefined;
  /** Outbox rows that the batch stands for: as many must be there to delete when it is confirmed. */
  readonly events: number;
}

/**
 * Reads a named batch as `readBatch` does, for a target in place of a topic: COPY text, unparsed from end to end. One snapshot shows
 * the events, which are counted first, and the rows. So what leaves is on disk if the log was flushed up to here when they were
 * counted, and a batch with a mark `x` is refused before anything has left.
 * @param pg a connection of its own, on which nothing else runs until `rows` has ended
 * @throws (and from `rows`) as `readBatch`
 */
export async function streamBatch(
  pg: ClientBase,
  table: ReadTable,
  batch: OutboxBatch,
  { signal, ensureFlushed }: StreamOptions,
): Promise<BatchStream> {
  signal.throwIfAborted();
  const [found, hasLoose] = await begin(pg, table, batch).catch(async (error: unknown) => {
    signal.throwIfAborted();
    throw await explainDrain(pg, table, batch, error);
  });
  if (!found.flushed) await ensureFlushed();

  let copy: CopyOut | undefined;
  async function* read(): AsyncGenerator<Buffer, void, undefined> {
    let last: number | undefined = NEWLINE;
    try {
      signal.throwIfAborted();
      copy = copyOut(pg, streamSql(table, batch, { hasLoose }), { signal });
      for await (const chunk of copy as AsyncIterable<Buffer>) {
        last = chunk.at(-1);
        yield chunk;
      }
    } catch (error) {
      signal.throwIfAborted();
      throw await explainDrain(pg, table, batch, error);
    }
    if (last !== NEWLINE) {
      const title = formatTableName(table.name);
      throw new Failure('SourceUnavailable', { message: `PostgreSQL cut batch ${batch.batch} of ${title} short.` });
    }
  }

  const { generation } = batch;
  return {
    rows: countedText(read(), () => copy?.rows ?? 0),
    floor:
      found.truncated === null ? undefined : composeVersion(generation, BigInt(found.truncated), BigInt(table.shape)),
    events: found.events,
  };
}

/** @throws Failure `SourceChanged` for a batch with a mark `x`; what PostgreSQL throws */
async function begin(pg: ClientBase, table: ReadTable, batch: OutboxBatch): Promise<[BatchEvents, boolean]> {
  const [found] = await beginDrain<BatchEvents>(pg, table, BEGIN_SNAPSHOT, batchEventsSql(table.id, batch));
  if (found === undefined) throw new Error('a count returned no row');
  if (found.unknown > 0) throw await unknownKeys(pg, table);
  return [found, await hasLooseKeys(pg, table)];
}
