/** Pauses between two polls of something that may be idle: short after it was busy, a little longer each time. */
export class PollBackoff {
  readonly #shortestMs: number;
  readonly #longestMs: number;
  readonly #growth: number;
  #restMs: number;

  constructor({ shortestMs, longestMs, growth }: { shortestMs: number; longestMs: number; growth: number }) {
    this.#shortestMs = shortestMs;
    this.#longestMs = longestMs;
    this.#growth = growth;
    this.#restMs = shortestMs;
  }

  reset(): void {
    this.#restMs = this.#shortestMs;
  }

  /** The pause that is due now; the next one is longer. */
  nextMs(): number {
    const restMs = this.#restMs;
    this.#restMs = Math.min(restMs * this.#growth, this.#longestMs);
    return restMs;
  }
}
