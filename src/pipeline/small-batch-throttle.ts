/** Below this many rows a batch is small: it costs nearly as much as one of a single row. */
export const SMALL_ROWS = 1_000;
/** Who has not been there for so long is not counted. Longer than members are ever held apart. */
const LATELY_MS = 1_000;
/** Of one piece of work, in the mean over all members; a tenth each. */
const SMOOTHING = 0.1;
/** Of the time of one member, for each other one: what two cores carry, and more of them too. */
const SHARE = 0.3;
const MOST_APART_MS = 500;

/**
 * The tables of a worker that move a trickle each, all at the same time. A small batch costs nearly as much as a large one, so
 * where many tables make them as fast as they can, everything waits for everything: 20 tables with 20 rows a second each were
 * a second late, and four at worst, on two cores. Held apart, they make fewer and larger batches.
 *
 * How far is measured, not set: by their number, and by how long a batch takes, which grows as soon as any server has too
 * much to do. One table alone is never held up.
 */
export class SmallBatchThrottle {
  readonly #mostASecond: number;
  readonly #lastAt = new Map<object, number>();
  #tookMs = 0;

  /** @param mostASecond batches of all members together, however quick they are */
  constructor(mostASecond: number) {
    this.#mostASecond = mostASecond;
  }

  /** A member has made a small batch, which took so long. */
  record(member: object, tookMs: number): void {
    this.#lastAt.delete(member);
    this.#lastAt.set(member, Date.now());
    this.#tookMs += (tookMs - this.#tookMs) * SMOOTHING;
  }

  /** Between the starts of two small batches of one member, when all keep to it. Milliseconds. */
  intervalMs(): number {
    const since = Date.now() - LATELY_MS;
    for (const [member, at] of this.#lastAt) {
      // In the order in which they were noted: the others are younger.
      if (at >= since) break;
      this.#lastAt.delete(member);
    }
    const { size } = this.#lastAt;
    const byTime = Math.min(MOST_APART_MS, (size - 1) * this.#tookMs * SHARE);
    return Math.max((size * 1_000) / this.#mostASecond, byTime);
  }
}
