import type { BatchName, CopyBatch } from '../domain/batch.js';
import type { Checkpoint } from '../domain/receipt.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { lackingTarget } from '../domain/quarantine.js';
import { composeVersion, minorOf, type Version } from '../domain/version.js';
import { keysSetAside } from '../ledger/quarantine.js';
import type { BatchWriter, WriteOptions, Written } from '../pipeline/batch.js';
import type { RetryPolicy } from '../pipeline/retry.js';
import type { ClickHouseServices, ClickHouseWriter } from './clickhouse-writer.js';
import { pruneRange, type PruneOptions } from './prune.js';
import { deleteBelowFloor, writeFloor } from './floor.js';

/** How many versions a position has. */
const SHAPES = 1n << 64n;

/** The end of a copy, of which all chunks are in the target. */
export interface EndCopy {
  /** What is at or below it was there before the copy. */
  readonly floor: Version | undefined;
  /** Keys of this range that were not copied become tombstones. */
  readonly prune: Pick<PruneOptions, 'range' | 'version'> | undefined;
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

  async write(name: BatchName, { floor, prune }: EndCopy, options: WriteOptions): Promise<Written> {
    const { clickhouse, parts } = this.#services;
    if (floor !== undefined) await writeFloor(clickhouse, this.#table, floor);
    // Copied rows may lie below a floor that came meanwhile.
    await deleteBelowFloor(clickhouse, this.#table);
    const rows = prune === undefined ? 0 : await this.#prune(prune, options);
    const { generation, target } = this.#table;
    const copied = composeVersion(generation, BigInt((name as CopyBatch).position));
    const { newest } = await parts.inspect(target, generation, [], copied);
    return { rows, bytes: 0, proof: newest };
  }

  async #prune(
    { range, version }: NonNullable<EndCopy['prune']>,
    { signal, onProgress }: WriteOptions,
  ): Promise<number> {
    const { clickhouse, ledger } = this.#services;
    const lowest = version - minorOf(version);
    // Of every shape.
    const except = await keysSetAside(ledger, lackingTarget(this.#table), [lowest, lowest + SHAPES]);
    return pruneRange(clickhouse, this.#table, { range, version, except, signal, onProgress: () => onProgress() });
  }

  rest(): Promise<void> {
    return Promise.resolve();
  }
}
