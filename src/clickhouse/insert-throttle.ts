import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import { SMALL_ROWS, type SmallBatchThrottle } from '../pipeline/small-batch-throttle.js';
import { select } from './catalog.js';
import { targetNames, type Target } from './names.js';

/** Distance between small inserts of one table, so at most 50 a second: each makes a part that has to be merged. 30 a second for 30 s left 5 active parts (measured). */
const LEAST_MS = 20;
/** How much unused time a table may save up: a few changes in a row are inserted at once, each in an insert of its own. */
const SPARE_MS = 100;
/**
 * Small inserts a second of all tables of a worker together. Each takes ClickHouse some 3 ms of a core, so 20 tables with 20
 * inserts a second each would take more than one core. With fewer inserts each one is larger, and the rows cost next to nothing.
 */
export const SMALL_INSERTS_A_SECOND = 200;
/** From here on an insert is large, in rows or in bytes: its rows are what it costs. A drain names no batch beyond 8 MB. */
const LARGE_ROWS = 20_000;
const LARGE_BYTES = 4_000_000;
/**
 * If rows come in faster than this, in rows a second, an insert waits until it is large, for `BUSY_MS` at most. In inserts of
 * 3,000 rows a row took ClickHouse 14 us of a core, in inserts of 25,000 it took 4.
 */
const BUSY_A_SECOND = 20_000;
const BUSY_MS = 500;
const MOST_MS = 2_000;
/** ClickHouse slows inserts down at 1,000 active parts of a partition. We slow down long before that. */
const MANY_PARTS = 100;
const COUNT_PARTS_EVERY_MS = 10_000;

/**
 * Keeps small inserts from making parts faster than merges remove them. No pause follows a large batch. Small ones start
 * `LEAST_MS` apart on average, and further apart if the table has many active parts, or if many tables of the worker make small
 * inserts.
 */
export class InsertThrottle {
  readonly #clickhouse: ClickHouseClient;
  readonly #target: Target;
  readonly #smallInserts: SmallBatchThrottle;
  #apartMs = LEAST_MS;
  #startedAt = 0;
  /** Time between the last two starts: in it the rows of the last insert came in. */
  #intervalMs = Number.POSITIVE_INFINITY;
  /** When the next insert may start: each insert moves it on by its price. At most `SPARE_MS` ago. */
  #paidAt = 0;
  #countedAt = Date.now();

  constructor(clickhouse: ClickHouseClient, target: Target, smallInserts: SmallBatchThrottle) {
    this.#clickhouse = clickhouse;
    this.#target = target;
    this.#smallInserts = smallInserts;
  }

  /** Records that an insert starts now. */
  begin(): void {
    const now = Date.now();
    this.#intervalMs = Math.max(1, now - this.#startedAt);
    this.#startedAt = now;
  }

  /** Records that it is done, and counts the parts every 10 s. A count that fails changes nothing: the insert will fail too. */
  loaded(rows: number, bytes = 0): void {
    if (rows < SMALL_ROWS) this.#smallInserts.record(this, Date.now() - this.#startedAt);
    const busyMs = bytes < LARGE_BYTES ? this.#untilLargeMs(rows) : undefined;
    this.#paidAt =
      busyMs === undefined
        ? Math.max(this.#paidAt, this.#startedAt - SPARE_MS) + this.#price(rows)
        : this.#startedAt + busyMs;
    if (rows >= SMALL_ROWS || Date.now() - this.#countedAt < COUNT_PARTS_EVERY_MS) return;
    this.#countedAt = Date.now();
    this.#countParts().catch(() => undefined);
  }

  /** Time until the next one may start, milliseconds. */
  leftMs(): number {
    return Math.max(0, this.#paidAt - Date.now());
  }

  /** Waits until the next one may start: its batch grows meanwhile. Returns at once when the signal is aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    const left = this.leftMs();
    if (left > 0) await sleep(left, undefined, { signal }).catch(() => undefined);
  }

  /** How long the next insert takes to become large, at the rate of the last one; undefined if that is too long. */
  #untilLargeMs(rows: number): number | undefined {
    if (rows < SMALL_ROWS || rows >= LARGE_ROWS) return undefined;
    const perMs = rows / this.#intervalMs;
    return perMs * 1_000 < BUSY_A_SECOND ? undefined : Math.min(BUSY_MS, LARGE_ROWS / perMs);
  }

  #price(rows: number): number {
    return rows < SMALL_ROWS ? Math.max(this.#apartMs, this.#smallInserts.intervalMs()) : 0;
  }

  async #countParts(): Promise<void> {
    const [found] = await select<{ parts: string }>(
      this.#clickhouse,
      /* sql */ `select toString(count()) as parts from system.parts
        where active and database = {database: String} and table = {table: String}`,
      { database: this.#target.database, table: this.#target.table },
      `counting the parts of ${targetNames(this.#target).shown}`,
    );
    const many = Number(found?.parts ?? 0) > MANY_PARTS;
    this.#apartMs = many ? Math.min(MOST_MS, this.#apartMs * 2) : Math.max(LEAST_MS, this.#apartMs / 2);
  }
}
