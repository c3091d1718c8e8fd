const DEFAULT_BYTES = 48_000_000;
const MOST_RESPONSE_BYTES = 8_000_000;
/** Limit of a response for idle partitions: their request is always out, so this much may come on top of the budget. */
const MOST_IDLE_RESPONSE_BYTES = 1_000_000;
/** Limit of a response where nothing is free: a reader whose queue is empty goes on, whatever the others hold. */
const LEAST_RESPONSE_BYTES = 64_000;

/**
 * The memory for messages that were fetched and not taken, of all readers of a process together. A reader may have as much
 * queued as is free: one backlog takes half of it, nine take a tenth each, and a tenth is left for the next one. Nobody needs to
 * know how many they are. On top come one response for idle partitions (1 MB) for each broker, and, where all is taken, one
 * batch for each reader that has none.
 */
export class FetchMemory {
  readonly #bytes: number;
  #used = 0;

  /** @param bytes 48 MB by default */
  constructor(bytes = DEFAULT_BYTES) {
    this.#bytes = bytes;
  }

  get used(): number {
    return this.#used;
  }

  /** @param bytes negative for what was taken */
  add(bytes: number): void {
    this.#used += bytes;
  }

  /** Whether a reader that has so much queued may fetch more. */
  hasRoom(queuedBytes: number): boolean {
    return queuedBytes === 0 || queuedBytes < this.#bytes - this.#used;
  }

  /** The limit of the next response. */
  responseBytes(isForIdle: boolean): number {
    const free = Math.floor((this.#bytes - this.#used) / 2);
    return Math.min(isForIdle ? MOST_IDLE_RESPONSE_BYTES : MOST_RESPONSE_BYTES, Math.max(LEAST_RESPONSE_BYTES, free));
  }
}
