const TELL_EVERY_MS = 1_000;

export interface AcquireOptions {
  readonly signal: AbortSignal;
  /** Called at once, and then every second, with the number of those ahead. */
  readonly onWait?: ((ahead: number) => void) | undefined;
  /** Lower ones go first, compared number by number. Equal ones, and those without, go in the order of the calls. */
  readonly rank?: Rank | undefined;
}

export type Rank = readonly number[];

interface Waiter {
  readonly rank: Rank;
  readonly enter: () => void;
}

/** Lets a bounded number in at a time. */
export class Semaphore {
  #free: number;
  readonly #queue: Waiter[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Whether one waits for a place whose rank is such. */
  hasWaiting(isSuch: (rank: Rank) => boolean): boolean {
    return this.#queue.some(({ rank }) => isSuch(rank));
  }

  /** @returns a place; disposing of it gives it back. @throws the signal's reason, while waiting */
  async acquire({ signal, onWait, rank = [] }: AcquireOptions): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal, onWait, rank);
    return this.#place();
  }

  /** @returns undefined where no place is free */
  tryAcquire(): Disposable | undefined {
    if (this.#free === 0) return undefined;
    this.#free -= 1;
    return this.#place();
  }

  #place(): Disposable {
    let inside = true;
    return {
      [Symbol.dispose]: () => {
        if (inside) this.#leave();
        inside = false;
      },
    };
  }

  /** The place goes to the first that waits. It is never free in between, so that nobody can jump the queue. */
  #leave(): void {
    const next = this.#queue.shift();
    if (next === undefined) this.#free += 1;
    else next.enter();
  }

  #turn(signal: AbortSignal, onWait: AcquireOptions['onWait'], rank: Rank): Promise<void> {
    return new Promise((resolve, reject) => {
      const stop = (): void => {
        clearInterval(telling);
        signal.removeEventListener('abort', onAbort);
      };
      const enter = (): void => {
        stop();
        resolve();
      };
      const onAbort = (): void => {
        stop();
        this.#queue.splice(this.#queue.indexOf(waiter), 1);
        reject(signal.reason as Error);
      };
      const tell = (): void => onWait?.(this.#queue.indexOf(waiter));
      const waiter = { rank, enter };
      const after = this.#queue.findIndex((other) => isBefore(rank, other.rank));
      this.#queue.splice(after === -1 ? this.#queue.length : after, 0, waiter);
      signal.addEventListener('abort', onAbort, { once: true });
      const telling = setInterval(tell, TELL_EVERY_MS);
      tell();
    });
  }
}

function isBefore(one: Rank, other: Rank): boolean {
  const length = Math.max(one.length, other.length);
  const differences = Array.from({ length }, (_, index) => (one[index] ?? 0) - (other[index] ?? 0));
  return (differences.find((difference) => difference !== 0) ?? 0) < 0;
}
