import { setTimeout as sleep } from 'node:timers/promises';

/** What may go at once after a pause, in seconds of the rate. */
const BURST_SECONDS = 1;
/** A wait ends so soon after it was given up. */
const LONGEST_WAIT_MS = 250;

/** Bytes a second that several streams share. */
export class RateLimit {
  readonly #bytesPerSecond: number | undefined;
  /** When all bytes that were let through until now are due, by `performance.now()`, milliseconds. */
  #dueAt = 0;

  /** @param bytesPerSecond undefined for no limit */
  constructor(bytesPerSecond: number | undefined) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  get isNone(): boolean {
    return this.#bytesPerSecond === undefined;
  }

  /** Passes chunks on, none earlier than the rate allows. @throws the signal's reason */
  async *pass(chunks: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of chunks) {
      await this.#wait(chunk.length, signal);
      yield chunk;
    }
  }

  async #wait(bytes: number, signal: AbortSignal): Promise<void> {
    if (this.#bytesPerSecond === undefined) return;
    const earliest = performance.now() - BURST_SECONDS * 1_000;
    this.#dueAt = Math.max(this.#dueAt, earliest) + (bytes / this.#bytesPerSecond) * 1_000;
    const until = this.#dueAt;
    for (let left = until - performance.now(); left > 0; left = until - performance.now()) {
      signal.throwIfAborted();
      await sleep(Math.min(left, LONGEST_WAIT_MS));
    }
  }
}
