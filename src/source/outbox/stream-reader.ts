import type { Lease } from '../../connect/reading-pool.js';
import type { OutboxBatch } from '../../domain/batch.js';
import type { ReadOptions } from '../../pipeline/batch.js';
import type { RowStream } from '../../pipeline/row-batch.js';
import { ensureFlushed } from '../flush.js';
import type { ReadTable } from './drain-transaction.js';
import type { OutboxReader, ReadingServices } from './reader.js';
import { streamBatch, type BatchStream } from './stream.js';

/** Reads batches for a target: as COPY text that nothing here looks into. */
export class StreamReader implements OutboxReader<RowStream> {
  readonly #services: ReadingServices;
  #stream: BatchStream | undefined;

  constructor(services: ReadingServices) {
    this.#services = services;
  }

  async read(table: ReadTable, name: OutboxBatch, { signal, onProgress }: ReadOptions): Promise<RowStream> {
    const { reading, source } = this.#services;
    this.#stream = undefined;
    const lease = await reading.lease({ signal, onWait: () => onProgress() });
    try {
      const stream = await streamBatch(lease.client, table, name, {
        signal,
        ensureFlushed: () => ensureFlushed(source),
      });
      const { rows, floor } = stream;
      this.#stream = stream;
      rows.once('close', () => void giveBack(lease, rows.readableEnded));
      return { rows, floor, range: undefined };
    } catch (error) {
      await lease[Symbol.asyncDispose]();
      throw error;
    }
  }

  events(): number {
    if (this.#stream?.rows.readableEnded !== true) throw new Error('the batch was not read to its end');
    return this.#stream.events;
  }
}

/** The rows have left by now and do not wait for the end of their transaction. */
export async function giveBack(lease: Lease, isClean: boolean): Promise<void> {
  await using lent = lease;
  if (!isClean) return;
  const committed = await lent.client.query('commit').catch(() => undefined);
  if (committed !== undefined) lent.keep();
}
