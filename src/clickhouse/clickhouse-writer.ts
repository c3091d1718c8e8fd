import type { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Queryable } from '../connect/queryable.js';
import type { BatchName, MessagePlace } from '../domain/batch.js';
import type { Part } from '../domain/part.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { copyStage, MAIN_LOADER } from '../domain/route.js';
import { columnsOfShape, laterShapes } from '../domain/shape.js';
import { composeVersion, generationOf, majorOf, type Version } from '../domain/version.js';
import { readStages } from '../ledger/stages.js';
import type { BatchWriter, Confirmed, WriteOptions, Written } from '../pipeline/batch.js';
import type { RetryPolicy } from '../pipeline/retry.js';
import type { SmallBatchThrottle } from '../pipeline/small-batch-throttle.js';
import { Failure } from '../failure/failure.js';
import { copyAgainRemedy } from '../failure/remedies.js';
import { formatTableName } from '../domain/table-name.js';
import { listColumns } from './catalog.js';
import { deleteBelowFloor, writeFloor } from './floor.js';
import { followShapes } from './follow-shapes.js';
import { insertCopy } from './insert-copy.js';
import { insertStream } from './insert-stream.js';
import { InsertThrottle } from './insert-throttle.js';
import { insertValues, type InsertFormat } from './insert.js';
import { explainOtherServer } from './other-server.js';
import type { PartTracker } from './part-tracker.js';
import { verifySinkHistory } from './verify-history.js';

/** Rows in memory: one block, all of them or none. */
export interface InsertValues {
  readonly kind: 'values';
  /** Lines in `encoding`, or newline-separated blocks of them. */
  readonly values: readonly Buffer[];
  readonly encoding: InsertFormat;
  /** The names of TabSeparated lines, in their order. */
  readonly names: readonly string[] | undefined;
  /** That the table had when they were written: one that the table has had. */
  readonly shape: number;
  /** Rows in the values. */
  readonly rows: number;
  readonly bytes: number;
  /** Only for content that a repeat reproduces byte for byte, never for rows that are read from PostgreSQL again. */
  readonly token: string;
  /** Every row at or below it is hidden from then on: a TRUNCATE. */
  readonly floor: Version | undefined;
  /** The message of a value, by its index. */
  readonly placeOf: (value: number) => MessagePlace;
}

/** The rows of a live batch as COPY text, with versions: one block, as a rule. */
export interface InsertStream {
  readonly kind: 'stream';
  /** Destroyed when the insert fails. */
  readonly rows: Readable;
  readonly floor: Version | undefined;
}

/** A chunk of a copy: COPY text of any length, of which a part may stay after a failure. */
export interface InsertCopy {
  readonly kind: 'copy';
  readonly rows: Readable;
}

export type InsertContent = InsertValues | InsertStream | InsertCopy;

export interface ClickHouseServices {
  readonly clickhouse: ClickHouseClient;
  readonly parts: PartTracker;
  readonly ledger: Queryable;
}

/** The `proof` of a stage that writes to ClickHouse: a part of the target that was seen. */
type PartProof = Part | undefined;

/** Inserts into a target table. */
export class ClickHouseWriter implements BatchWriter<InsertContent> {
  readonly retry: RetryPolicy;
  readonly #services: ClickHouseServices;
  readonly #table: TargetTable;
  readonly #throttle: InsertThrottle | undefined;
  /** The last batch whose start was recorded with the throttle. */
  #begun = 0;
  /** The columns of the target; undefined where those of the table never changed. */
  #existing: ReadonlySet<string> | undefined;

  constructor(
    services: ClickHouseServices,
    table: TargetTable,
    { retry, throttle }: { readonly retry: RetryPolicy; readonly throttle?: SmallBatchThrottle },
  ) {
    this.#services = services;
    this.#table = table;
    this.retry = retry;
    this.#throttle = throttle && new InsertThrottle(services.clickhouse, table.target, throttle);
  }

  /**
   * Brings the target to the newest shape first.
   * @throws ShapeBehind; Failure as `verifySinkHistory`, and those of ClickHouse; `SourceSetBack`
   */
  async verify({ highest, allocated }: Confirmed, proof: unknown): Promise<PartProof> {
    const { clickhouse, parts, ledger } = this.#services;
    const own = copyStage(this.#table.loader ?? MAIN_LOADER);
    const copy = (await readStages(ledger, this.#table.id)).find(({ stage }) => stage === own);
    const { done, rows } = (copy?.position ?? {}) as { readonly done?: string; readonly rows?: string };
    const { generation } = this.#table;
    const copied = done === undefined || rows === '0' ? 0n : composeVersion(generation, BigInt(done));
    const loaded = highest === '0' ? 0n : composeVersion(generation, BigInt(highest));
    const expected = {
      highest: copied > loaded ? copied : loaded,
      copied,
      parts: [copy?.proof, proof].map((part) => (part ?? undefined) as PartProof),
    };
    try {
      await this.#reshape();
      const newest = await verifySinkHistory(clickhouse, parts, this.#table, expected);
      if (newest !== undefined && allocated !== undefined) await this.#requireGiven(newest, BigInt(highest), allocated);
      return newest;
    } catch (error) {
      return explainOtherServer(clickhouse, this.#table, error);
    }
  }

  async write({ batch }: BatchName, content: InsertContent, options: WriteOptions): Promise<Written> {
    if (batch !== this.#begun) this.#throttle?.begin();
    this.#begun = batch;
    switch (content.kind) {
      case 'values':
        return this.#insertValues(content, options);
      case 'stream':
        return this.#insertStream(content, options);
      case 'copy':
        return this.#insertCopy(content, options);
      default:
        return content satisfies never;
    }
  }

  async rest({ rows, bytes }: Written, _tookMs: number, signal: AbortSignal): Promise<void> {
    this.#throttle?.loaded(rows, bytes);
    await this.#throttle?.wait(signal);
  }

  /**
   * Rows of positions that the source has yet to give are of transactions that it has lost: later changes would lose against them.
   * Asked after ClickHouse was: other stages write meanwhile.
   */
  async #requireGiven(newest: Part, confirmed: bigint, allocated: () => Promise<string>): Promise<void> {
    const version = BigInt(newest.highest);
    const position = majorOf(version);
    if (generationOf(version) !== this.#table.generation || position <= confirmed) return;
    const last = await allocated();
    if (position <= BigInt(last)) return;
    const { database, table } = this.#table.target;
    throw new Failure('SourceSetBack', {
      message: `${database}.${table} in ClickHouse holds rows of position ${position}, and the outbox of ${formatTableName(this.#table.name)} stands at ${last}.`,
      remedy: copyAgainRemedy(this.#table, { dropTarget: false }),
    });
  }

  async #reshape(): Promise<void> {
    const { clickhouse, ledger } = this.#services;
    await followShapes(clickhouse, ledger, this.#table);
    if (laterShapes(this.#table).length === 0) return;
    const { database, table } = this.#table.target;
    this.#existing = new Set((await listColumns(clickhouse, database, table)).map(({ name }) => name));
  }

  async #insertValues(content: InsertValues, { signal, attempt }: WriteOptions): Promise<Written> {
    const { clickhouse } = this.#services;
    const { values, encoding, names, token, rows, bytes, floor, shape } = content;
    const columns = columnsOfShape(this.#table, shape);
    const existing = this.#existing;
    await insertValues(clickhouse, this.#table, { values, encoding, names, columns, existing, token, signal, attempt });
    await this.#raiseFloor(floor);
    return { rows, bytes };
  }

  async #insertStream({ rows, floor }: InsertStream, { signal, attempt, onProgress }: WriteOptions): Promise<Written> {
    const inserted = await insertStream(this.#services.clickhouse, this.#table, rows, { signal, attempt, onProgress });
    await this.#raiseFloor(floor);
    return inserted;
  }

  async #raiseFloor(floor: Version | undefined): Promise<void> {
    if (floor === undefined) return;
    const { clickhouse } = this.#services;
    await writeFloor(clickhouse, this.#table, floor);
    await deleteBelowFloor(clickhouse, this.#table);
  }

  #insertCopy({ rows }: InsertCopy, { signal, onProgress }: WriteOptions): Promise<Written> {
    return insertCopy(this.#services.clickhouse, this.#table, rows, { signal, onProgress });
  }
}
