/**
 * A counting gate, first come first served. Each call into the engine holds a thread of libuv's pool until it is done;
 * with all of them taken, spooling and gunzip could not run, and streaming inserts would wait for each other for ever.
 */
export class Slots {
  readonly #waiting: Array<() => void> = [];
  #free: number;

  constructor(size: number) {
    this.#free = size;
  }

  get queued(): number {
    return this.#waiting.length;
  }

  /** Runs `work` when a slot is free. */
  async hold<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#free > 0) this.#free -= 1;
    // The slot is handed over, never freed in between: a newcomer cannot overtake.
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
