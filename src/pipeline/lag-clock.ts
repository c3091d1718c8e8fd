interface Sample {
  readonly position: bigint;
  readonly at: number;
}

const SPACING_MS = 1_000;
/** Beyond this many, every other sample is dropped: the estimate gets coarser as the backlog gets older. */
const MOST_SAMPLES = 600;

/**
 * Estimates how long a position has been waiting, from samples of the newest position over time. For displays only: events carry
 * no time, and correctness never depends on a clock.
 */
export class LagClock {
  #samples: Sample[] = [];

  /** Records that positions up to `newest` had been allocated at `at` (milliseconds). */
  observe(newest: bigint, at: number): void {
    const last = this.#samples.at(-1);
    if (last !== undefined && (newest <= last.position || at - last.at < SPACING_MS)) return;
    this.#samples.push({ position: newest, at });
    if (this.#samples.length > MOST_SAMPLES) this.#samples = this.#samples.filter((_, index) => index % 2 === 0);
  }

  /** Seconds since the oldest position not yet `done` was first seen; 0 where everything seen is done. */
  seconds(done: bigint, at: number): number {
    while (this.#samples.length > 0 && (this.#samples[0]?.position ?? 0n) <= done) this.#samples.shift();
    const oldest = this.#samples[0];
    return oldest === undefined ? 0 : Math.max(0, (at - oldest.at) / 1_000);
  }
}
