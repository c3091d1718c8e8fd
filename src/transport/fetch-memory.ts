const DEFAULT_BYTES = 48_000_000;
const MOST_RESPONSE_BYTES = 8_000_000;
/** Of the quiet ones, whose request is out all the time: what it may bring comes on top of what is known to be taken. */
const MOST_QUIET_BYTES = 1_000_000;
/** Of a response where nothing is free: a table whose queue is empty goes on, whatever the others hold. */
const LEAST_RESPONSE_BYTES = 64_000;

/**
 * The memory for messages that were fetched and not taken, of all tables of a worker together. A table may have as much queued
 * as is free: one backlog takes half of it, nine take a tenth each, and a tenth is left for whoever comes next; nobody needs to
 * know how many they are. On top come one response of the quiet ones (1 MB) a broker, and, where all is taken, one batch for each table without any.
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

  /** @param bytes negative for what was taken out of a queue */
  add(bytes: number): void {
    this.#used += bytes;
  }

  /** Whether a table that has so much queued may fetch more. */
  hasRoom(queuedBytes: number): boolean {
    return queuedBytes === 0 || queuedBytes < this.#bytes - this.#used;
  }

  /** Of the next response. */
  responseBytes(isOfQuiet: boolean): number {
    const free = Math.floor((this.#bytes - this.#used) / 2);
    return Math.min(isOfQuiet ? MOST_QUIET_BYTES : MOST_RESPONSE_BYTES, Math.max(LEAST_RESPONSE_BYTES, free));
  }
}
