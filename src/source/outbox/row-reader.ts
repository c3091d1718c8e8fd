import type { OutboxBatch } from '../../domain/batch.js';
import type { Changes } from '../../domain/change.js';
import type { ReadOptions } from '../../pipeline/batch.js';
import type { RowBatch, RowContent } from '../../pipeline/row-batch.js';
import { ensureFlushed } from '../flush.js';
import { readBatch, type BatchReading } from './drain.js';
import type { ReadTable } from './drain-transaction.js';
import type { OutboxReader, ReadingServices } from './reader.js';

/** Reads batches for a topic: row by row. */
export class RowReader implements OutboxReader<RowBatch> {
  readonly #services: ReadingServices;
  readonly #content: RowContent;
  #reading: BatchReading | undefined;

  constructor(services: ReadingServices, content: RowContent) {
    this.#services = services;
    this.#content = content;
  }

  read(table: ReadTable, name: OutboxBatch, { signal, onProgress }: ReadOptions): RowBatch {
    const { reading } = this.#services;
    const content = this.#content;
    const hold = (batch: BatchReading): BatchReading => (this.#reading = batch);
    this.#reading = undefined;
    async function* changes(): AsyncGenerator<Changes, void, undefined> {
      await using lease = await reading.lease({ signal, onWait: () => onProgress() });
      yield* hold(readBatch(lease.client, table, name, { signal, ...content })).changes;
      lease.keep();
    }
    return {
      changes: changes(),
      durable: () => {
        onProgress();
        return this.#reading?.isFlushed === true ? Promise.resolve() : ensureFlushed(this.#services.source);
      },
    };
  }

  events(): number {
    if (this.#reading === undefined) throw new Error('the batch was not read');
    return this.#reading.events();
  }
}
