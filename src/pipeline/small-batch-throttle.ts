/** Below this many rows a batch is small: it costs nearly as much as one of a single row. */
export const SMALL_ROWS = 1_000;
/** A table counts as active for this long after its last small batch. Must be longer than `MOST_APART_MS`. */
const ACTIVE_MS = 1_000;
/** Weight of the newest batch in the mean time that a small batch takes. */
const SMOOTHING = 0.1;
/** Extra distance for each other active table, as a share of the mean batch time. Tuned on two cores. */
const SHARE = 0.3;
const MOST_APART_MS = 500;

/**
 * Spaces the small batches of all tables of a worker. A small batch costs nearly as much as a large one. If many tables make them
 * as fast as they can, all of them get slow: 20 tables with 20 rows a second each were a second late, and four at worst, on two
 * cores. With more time between them they make fewer and larger batches.
 *
 * The distance follows from the number of active tables and from the time that a batch takes, which grows as soon as a server
 * has too much to do. One table alone waits for `1 / mostASecond` only: 5 ms at 200 a second.
 */
export class SmallBatchThrottle {
  readonly #mostASecond: number;
  /** By table, in the order of their last small batches. */
  readonly #lastAt = new Map<object, number>();
  #meanMs = 0;

  /** @param mostASecond small batches of all tables together */
  constructor(mostASecond: number) {
    this.#mostASecond = mostASecond;
  }

  /** Records a small batch. @param member stands for the table */
  record(member: object, tookMs: number): void {
    this.#lastAt.delete(member);
    this.#lastAt.set(member, Date.now());
    this.#meanMs += (tookMs - this.#meanMs) * SMOOTHING;
  }

  /** The distance between the starts of two small batches of one table, milliseconds. */
  intervalMs(): number {
    const since = Date.now() - ACTIVE_MS;
    for (const [member, at] of this.#lastAt) {
      // The map is in the order of time: the others are younger.
      if (at >= since) break;
      this.#lastAt.delete(member);
    }
    const { size } = this.#lastAt;
    const byTime = Math.min(MOST_APART_MS, (size - 1) * this.#meanMs * SHARE);
    return Math.max((size * 1_000) / this.#mostASecond, byTime);
  }
}
