import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import { SMALL_ROWS, type SmallBatchThrottle } from '../pipeline/small-batch-throttle.js';
import { select } from './catalog.js';
import { targetNames, type Target } from './names.js';

/** What a small insert, which makes a part that a merge must swallow soon, costs of the time: 50 a second. 30 a second for 30 s left 5 active parts (measured). */
const LEAST_MS = 20;
/** Time that may be saved up: a few changes after each other go at once, each in an insert of its own. */
const SPARE_MS = 100;
/**
 * Of a worker's small inserts, a second, all tables together: each takes ClickHouse some 3 ms of a core, so 20 tables with 20 rows
 * a second each would take more than one. Fewer make each batch larger: the rows cost next to nothing.
 */
export const SMALL_INSERTS_A_SECOND = 200;
/** From here on an insert is large: what it costs is its rows. */
const LARGE_ROWS = 20_000;
/**
 * While rows come in faster than this, in rows a second, an insert waits until it is a large one, but not for long: in inserts
 * of 3,000 a row took ClickHouse 14 us of a core, in inserts of 25,000 it took 4.
 */
const BUSY_A_SECOND = 20_000;
const BUSY_MS = 500;
const MOST_MS = 2_000;
/** ClickHouse slows inserts down at 1,000 active parts of a partition; far before that we slow down ourselves. */
const MANY_PARTS = 100;
const LOOK_EVERY_MS = 10_000;

/**
 * Keeps small inserts from making parts faster than merges remove them. A large batch is never followed by a pause; small
 * ones start `LEAST_MS` apart on average, and further apart while the table has many active parts, or many
 * tables of the worker make small inserts.
 */
export class InsertThrottle {
  readonly #clickhouse: ClickHouseClient;
  readonly #target: Target;
  readonly #crowd: SmallBatchThrottle;
  #apartMs = LEAST_MS;
  #startedAt = 0;
  /** Between the last two starts: in this time the rows of the last insert came in. */
  #intervalMs = Number.POSITIVE_INFINITY;
  /** When the inserts so far are paid for: not longer ago than what may be saved up. */
  #paidAt = 0;
  #lookedAt = Date.now();

  constructor(clickhouse: ClickHouseClient, target: Target, crowd: SmallBatchThrottle) {
    this.#clickhouse = clickhouse;
    this.#target = target;
    this.#crowd = crowd;
  }

  /** Notes that an insert starts now. */
  begin(): void {
    const now = Date.now();
    this.#intervalMs = Math.max(1, now - this.#startedAt);
    this.#startedAt = now;
  }

  /** Notes that it is done, and looks at the parts now and then. A look that fails changes nothing: the insert will tell. */
  loaded(rows: number): void {
    if (rows < SMALL_ROWS) this.#crowd.record(this, Date.now() - this.#startedAt);
    const busyMs = this.#untilLargeMs(rows);
    this.#paidAt =
      busyMs === undefined
        ? Math.max(this.#paidAt, this.#startedAt - SPARE_MS) + this.#price(rows)
        : this.#startedAt + busyMs;
    if (rows >= SMALL_ROWS || Date.now() - this.#lookedAt < LOOK_EVERY_MS) return;
    this.#lookedAt = Date.now();
    this.#look().catch(() => undefined);
  }

  /** Until the next one may start, milliseconds. */
  leftMs(): number {
    return Math.max(0, this.#paidAt - Date.now());
  }

  /** Waits so long: the batch for it grows meanwhile. At once when the signal is aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    const left = this.leftMs();
    if (left > 0) await sleep(left, undefined, { signal }).catch(() => undefined);
  }

  /** How long the next insert takes to become a large one, at the pace of the last; undefined where that would be too long. */
  #untilLargeMs(rows: number): number | undefined {
    if (rows < SMALL_ROWS || rows >= LARGE_ROWS) return undefined;
    const perMs = rows / this.#intervalMs;
    return perMs * 1_000 < BUSY_A_SECOND ? undefined : Math.min(BUSY_MS, LARGE_ROWS / perMs);
  }

  #price(rows: number): number {
    return rows < SMALL_ROWS ? Math.max(this.#apartMs, this.#crowd.intervalMs()) : 0;
  }

  async #look(): Promise<void> {
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
