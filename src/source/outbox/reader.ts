import type { Pool } from 'pg';
import type { ReadingPool } from '../../connect/reading-pool.js';
import type { OutboxBatch } from '../../domain/batch.js';
import type { ReadOptions } from '../../pipeline/batch.js';
import type { ReadTable } from './drain-transaction.js';

/** What reading batches needs of the worker. */
export interface ReadingServices {
  /** Of the tables; for statements beside a reading. */
  readonly source: Pool;
  /** Connections that are lent to one batch at a time: an idle table holds none. */
  readonly reading: ReadingPool;
}

/** Reads the rows of named batches, as what their writer takes. */
export interface OutboxReader<Content> {
  /** Called again for the same name if writing it failed. @throws Failure those of PostgreSQL */
  read(table: ReadTable, name: OutboxBatch, options: ReadOptions): Promise<Content> | Content;
  /**
   * Outbox rows that the batch read last stands for: as many must be there to delete when it is confirmed.
   * @throws Error where it was not read to its end
   */
  events(): number;
}
