import type { BatchName } from '../domain/batch.js';
import type { Checkpoint } from '../domain/receipt.js';
import type { TargetTable } from '../domain/replicated-table.js';
import type { Version } from '../domain/version.js';
import type { BatchWriter, Written } from '../pipeline/batch.js';
import type { RetryPolicy } from '../pipeline/retry.js';
import type { ClickHouseServices, ClickHouseWriter } from './clickhouse-writer.js';
import { pruneRange, type PruneOptions } from './prune.js';
import { deleteBelowFloor, writeFloor } from './floor.js';

/** The end of a copy, of which all chunks are in the target. */
export interface EndCopy {
  /** What is at or below it was there before the copy. */
  readonly floor: Version | undefined;
  readonly prune: PruneOptions | undefined;
}

/** Hides what the target held before a copy, once all of the copy is there: a reader never sees a table that is half empty. */
export class CopyEndWriter implements BatchWriter<EndCopy> {
  readonly retry: RetryPolicy;
  readonly #services: ClickHouseServices;
  readonly #table: TargetTable;
  readonly #rows: ClickHouseWriter;

  /** @param rows what has written the chunks */
  constructor(services: ClickHouseServices, table: TargetTable, rows: ClickHouseWriter) {
    this.#services = services;
    this.#table = table;
    this.#rows = rows;
    this.retry = rows.retry;
  }

  verify(checkpoint: Checkpoint, proof: unknown): Promise<unknown> {
    return this.#rows.verify(checkpoint, proof);
  }

  async write(_name: BatchName, { floor, prune }: EndCopy): Promise<Written> {
    const { clickhouse, parts } = this.#services;
    if (floor !== undefined) await writeFloor(clickhouse, this.#table, floor);
    // Copied rows may lie below a floor that came meanwhile.
    await deleteBelowFloor(clickhouse, this.#table);
    const rows = prune === undefined ? 0 : await pruneRange(clickhouse, this.#table, prune);
    const { newest } = await parts.inspect(this.#table.target, this.#table.generation);
    return { rows, bytes: 0, proof: newest };
  }

  rest(): Promise<void> {
    return Promise.resolve();
  }
}
