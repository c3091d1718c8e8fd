import type { ClickHouseClient } from '@clickhouse/client';
import type { Queryable } from '../../connect/queryable.js';
import type { BatchName } from '../../domain/batch.js';
import type { Checkpoint } from '../../domain/receipt.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { composeVersion } from '../../domain/version.js';
import { Failure } from '../../failure/failure.js';
import type { BatchWriter, WriteOptions, Written } from '../../pipeline/batch.js';
import type { RetryPolicy } from '../../pipeline/retry.js';
import type { RowStream } from '../../pipeline/row-batch.js';
import type { ClickHouseServices } from '../clickhouse-writer.js';
import { followShapes } from '../follow-shapes.js';
import { InsertThrottle } from '../insert-throttle.js';
import { explainOtherServer } from '../other-server.js';
import type { StreamWriterOptions } from '../target-engine.js';
import { HeldFence } from './held-fence.js';
import { insertFenced, rangeToken, type InsertMode, type Range } from './insert.js';
import type { AppendProof } from './proof.js';
import { modeOfRepeat } from './repeat.js';
import { verifyAppendTarget } from './target.js';
import { verifyRange, verifyRows } from './verify-rows.js';
import { countBlocks, hasViews, type FilledTable } from './views.js';

/**
 * Inserts into a plain MergeTree, each row once. Nothing there replaces a row, so exactly once rests on three things: a batch holds
 * the same rows whenever it is read; a newer attempt fences all older inserts and waits for their end before it inserts; and a
 * repeat inserts only what is not there, or what the table surely remembers by a token.
 */
export class AppendWriter implements BatchWriter<RowStream> {
  readonly retry: RetryPolicy;
  readonly #clickhouse: ClickHouseClient;
  readonly #ledger: Queryable;
  readonly #table: TargetTable;
  readonly #stage: string;
  readonly #fence: HeldFence;
  readonly #throttle: InsertThrottle | undefined;
  /** The last batch whose start was recorded with the throttle. */
  #begun = 0;
  /** An insert was sent since the fence was taken: its end is not known. */
  #sent = false;
  #filled: readonly FilledTable[] = [];
  #proof: AppendProof | undefined;

  constructor(services: ClickHouseServices, table: TargetTable, { claim, retry, throttle }: StreamWriterOptions) {
    this.#clickhouse = services.clickhouse;
    this.#ledger = services.ledger;
    this.#table = table;
    this.#stage = claim.stage;
    this.#fence = new HeldFence(services, table, claim);
    this.retry = retry;
    this.#throttle = throttle && new InsertThrottle(services.clickhouse, table.target, throttle);
  }

  async verify(_checkpoint: Checkpoint, proof: unknown): Promise<AppendProof | undefined> {
    try {
      await followShapes(this.#clickhouse, this.#ledger, this.#table);
      this.#filled = await verifyAppendTarget(this.#clickhouse, this.#table);
      if (!this.#fence.isHeld) await this.#fence.take();
      this.#proof = (proof ?? undefined) as AppendProof | undefined;
      if (this.#proof?.last === undefined) return this.#proof;
      await verifyRows(this.#clickhouse, this.#table, this.#proof);
      this.#proof = { ...this.#proof, witness: this.#proof.last };
      return this.#proof;
    } catch (error) {
      return explainOtherServer(this.#clickhouse, this.#table, error);
    }
  }

  async write(name: BatchName, content: RowStream, options: WriteOptions): Promise<Written> {
    if (name.batch !== this.#begun) this.#throttle?.begin();
    this.#begun = name.batch;
    try {
      return await this.#write(name, content, options);
    } catch (error) {
      // A COPY that nobody reads would hold its connection.
      content.rows.destroy();
      throw error;
    }
  }

  async #write(name: BatchName, content: RowStream, options: WriteOptions): Promise<Written> {
    const range = requireRange(content, this.#table);
    if (range.ids.length === 0) {
      content.rows.destroy();
      return { rows: 0, bytes: 0, proof: this.#proof };
    }
    const token = rangeToken(this.#table, this.#stage, name, range);
    let mode: InsertMode = { token };
    if (options.again) {
      if (this.#sent) await this.#fence.take(options.signal, options.onProgress);
      mode = await modeOfRepeat(this.#clickhouse, this.#table, { name, range, token, proof: this.#proof });
    }
    const { rows, bytes } = await this.#insert(content, mode, options);
    if (options.again) await verifyRange(this.#clickhouse, this.#table, range, rows);
    this.#proof = await this.#proofAfter(range, rows);
    return { rows, bytes, proof: this.#proof };
  }

  async rest({ rows }: Written, _tookMs: number, signal: AbortSignal): Promise<void> {
    this.#throttle?.loaded(rows);
    await this.#throttle?.wait(signal);
  }

  async #insert({ rows }: RowStream, mode: InsertMode, { signal, attempt, onProgress }: WriteOptions) {
    this.#sent = true;
    const options = { epoch: this.#fence.epoch, mode, attempt, signal, onProgress };
    const inserted = await insertFenced(this.#clickhouse, this.#table, rows, options);
    this.#sent = false;
    return inserted;
  }

  async #proofAfter({ column, ids, known }: Range, rows: number): Promise<AppendProof> {
    const { last: before, witness } = this.#proof ?? {};
    // Of rows that were deleted in PostgreSQL meanwhile, or set aside, the last may never have come.
    const { rows: all, last: end } = known ?? { rows: countIds(ids), last: ids.at(-1)?.[1] };
    const highest = rows >= all ? end : undefined;
    const isHigher = highest !== undefined && (before === undefined || BigInt(highest) > BigInt(before));
    const last = isHigher ? highest : before;
    return {
      column,
      ...(last === undefined ? {} : { last, witness: witness ?? last }),
      ...(hasViews(this.#filled) ? { blocks: await countBlocks(this.#clickhouse, this.#filled) } : {}),
    };
  }
}

function countIds(ids: Range['ids']): number {
  return ids.reduce((sum, [first, last]) => sum + Number(BigInt(last) - BigInt(first)) + 1, 0);
}

/**
 * @throws Failure `Misconfigured` for rows that a repeat may read otherwise, or that a TRUNCATE hides: a plain MergeTree keeps every
 *   row. A floor below the own generation hides nothing: the target was empty when the table was added.
 */
function requireRange({ range, floor }: RowStream, { name, generation }: TargetTable): Range {
  if (range !== undefined && (floor === undefined || floor <= composeVersion(generation, 0n))) return range;
  throw new Failure('Misconfigured', {
    message: `The capture of ${name.schema}.${name.table} brings rows that may change, and a plain MergeTree keeps every version.`,
  });
}
