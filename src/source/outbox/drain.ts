import type { ClientBase } from 'pg';
import { rowsOfLast } from '../../connect/queryable.js';
import type { OutboxBatch } from '../../domain/batch.js';
import { MOST_MESSAGE_BYTES, type Changes } from '../../domain/change.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { largeRowRemedy } from '../../failure/remedies.js';
import type { RowContent } from '../../pipeline/row-batch.js';
import { copyOut } from '../copy/copy-out.js';
import { IS_FLUSHED } from '../flush.js';
import { BEGIN_READING } from '../session.js';
import { DrainLines } from './drain-lines.js';
import { drainSql } from './drain-sql.js';
import { beginDrain, explainDrain, hasLooseKeys, unknownKeys, type ReadTable } from './drain-transaction.js';

/** Default: JSON with keys. */
export interface ReadOptions extends Partial<RowContent> {
  readonly signal: AbortSignal;
}

export interface BatchReading {
  /** One change for each key of the batch and one for its TRUNCATE marks: 64 KB at a time, or one row that is larger. */
  readonly changes: AsyncIterable<Changes>;
  /**
   * Outbox rows that were read: as many must be there to delete when the batch is confirmed.
   * @throws Error before the end of `changes`
   */
  events(): number;
  /** All of it was read, and is on the disk of the source: see `ensureFlushed`. */
  readonly isFlushed: boolean;
}

/**
 * Reads a named batch: its keys, joined to the table as it is now. A row that is there is an upsert, one that is gone a
 * tombstone. A retry may find newer rows under the same versions; what made them newer is in a later batch.
 *
 * Measured with 10 columns and 280 bytes of JSON, 300,000 keys in batches of 20,000: 6.8 us of one core of PostgreSQL a row
 * (some 145,000 rows/s), 1.8 of them for the keys alone; Node took 2.5 us meanwhile, most of it in pg-copy-streams, in whose place
 * `CopyOut` reads now.
 * @param pg a connection of its own, on which nothing else runs until `changes` has ended. A reading that was abandoned,
 * aborted or failed leaves it in the middle of a COPY: end it.
 * @throws (from `changes`) the signal's reason; Failure `SourceUnavailable`, `SourceChanged`, `MissingTable`, `LockTimeout`
 */
export function readBatch(
  pg: ClientBase,
  table: ReadTable,
  batch: OutboxBatch,
  { signal, rows = 'json', key = true }: ReadOptions,
): BatchReading {
  const title = formatTableName(table.name);
  const lines = new DrainLines(rows);
  let ended = false;
  let isFlushed = false;

  async function* read(): AsyncGenerator<Changes, void, undefined> {
    signal.throwIfAborted();
    try {
      await beginDrain(pg, table, BEGIN_READING);
      const hasLoose = await hasLooseKeys(pg, table);
      const stream = copyOut(pg, drainSql(table, batch, { rows, key, hasLoose }), { signal });
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        const changes = lines.feed(chunk);
        if (lines.cutBytes > MOST_MESSAGE_BYTES) throw tooLarge(batch, table);
        if (changes.length > 0) yield changes;
      }
      // Asked in the same message: with small batches a round trip of its own would be a tenth of the time.
      const [told] = rowsOfLast<{ flushed: boolean }>(await pg.query(`commit; ${IS_FLUSHED}`));
      isFlushed = told?.flushed === true;
      if (lines.unknown > 0) throw await unknownKeys(pg, table);
    } catch (error) {
      signal.throwIfAborted();
      throw await explainDrain(pg, table, batch, error);
    }
    if (lines.cutBytes > 0)
      throw new Failure('SourceUnavailable', { message: `PostgreSQL cut batch ${batch.batch} of ${title} short.` });
    ended = true;
  }

  return {
    changes: read(),
    events: () => {
      if (!ended) throw new Error('the events of a batch are known when all its changes were read');
      return lines.events;
    },
    get isFlushed() {
      return isFlushed;
    },
  };
}

/** Before more of it is held: a row of PostgreSQL's may be 1 GB. */
function tooLarge({ batch }: OutboxBatch, { name, key }: Pick<ReplicatedTable, 'name' | 'key'>): Failure {
  return new Failure('MessageTooLarge', {
    message: `A row of ${formatTableName(name)}, whose key is (${key.join(', ')}), in publish batch ${batch} is larger than ${MOST_MESSAGE_BYTES} bytes, the most that goes through Kafka.`,
    remedy: largeRowRemedy({ name, key }),
  });
}
