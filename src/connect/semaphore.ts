const TELL_EVERY_MS = 1_000;

export interface AcquireOptions {
  readonly signal: AbortSignal;
  /** Called at once, and then every second, with the number of those ahead. */
  readonly onWait?: ((ahead: number) => void) | undefined;
}

/** Lets a bounded number in at a time, in the order of the calls. */
export class Semaphore {
  #free: number;
  readonly #queue: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  /** How many wait for a place. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** @returns a place; disposing of it gives it back. @throws the signal's reason, while waiting */
  async acquire({ signal, onWait }: AcquireOptions): Promise<Disposable> {
    signal.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#turn(signal, onWait);
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
    else next();
  }

  #turn(signal: AbortSignal, onWait: AcquireOptions['onWait']): Promise<void> {
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
        this.#queue.splice(this.#queue.indexOf(enter), 1);
        reject(signal.reason as Error);
      };
      const tell = (): void => onWait?.(this.#queue.indexOf(enter));
      this.#queue.push(enter);
      signal.addEventListener('abort', onAbort, { once: true });
      const telling = setInterval(tell, TELL_EVERY_MS);
      tell();
    });
  }
}
