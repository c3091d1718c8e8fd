import type { FetchPartition } from './fetch-request.js';

/** Kafka's numbers of the two ways in which a broker has lost a session: it was restarted, or had no place for it any more. */
const FETCH_SESSION_ID_NOT_FOUND = 70;
const INVALID_FETCH_SESSION_EPOCH = 71;
const FIRST_EPOCH = 0;
const LAST_EPOCH = 0x7fff_ffff;

/**
 * What a broker remembers between fetches (KIP-227): only what changed is said, and only what is new is answered, so a
 * thousand idle partitions cost a request of 60 bytes. Its invariant: what the broker fetches is `wanted` once `answered` was
 * called; after anything else the next request names everything again.
 */
export class FetchSession {
  readonly #wanted = new Map<string, FetchPartition>();
  readonly #changed = new Map<string, FetchPartition>();
  readonly #forgotten = new Map<string, FetchPartition>();
  #id = 0;
  #epoch = FIRST_EPOCH;

  get size(): number {
    return this.#wanted.size;
  }

  has(key: string): boolean {
    return this.#wanted.has(key);
  }

  want(key: string, partition: FetchPartition): void {
    if (this.#wanted.get(key)?.offset === partition.offset) return;
    // To the end, as the broker does: where it keeps no session the first ones must not starve the others.
    this.#wanted.delete(key);
    this.#wanted.set(key, partition);
    this.#changed.set(key, partition);
    this.#forgotten.delete(key);
  }

  forget(key: string): void {
    const known = this.#wanted.get(key);
    if (known === undefined) return;
    this.#wanted.delete(key);
    this.#changed.delete(key);
    this.#forgotten.set(key, known);
  }

  next(): { sessionId: number; sessionEpoch: number; partitions: FetchPartition[]; forgotten: FetchPartition[] } {
    const isFull = this.#epoch === FIRST_EPOCH;
    return {
      sessionId: this.#id,
      sessionEpoch: this.#epoch,
      partitions: [...(isFull ? this.#wanted : this.#changed).values()],
      forgotten: isFull ? [] : [...this.#forgotten.values()],
    };
  }

  /** @returns false when the broker has lost it: the next request names everything */
  answered(errorCode: number, sessionId: number): boolean {
    if (errorCode === FETCH_SESSION_ID_NOT_FOUND || errorCode === INVALID_FETCH_SESSION_EPOCH) {
      this.#id = 0;
      this.#epoch = FIRST_EPOCH;
      return false;
    }
    this.#changed.clear();
    this.#forgotten.clear();
    this.#id = sessionId;
    if (sessionId === 0) this.#epoch = FIRST_EPOCH;
    else this.#epoch = this.#epoch === LAST_EPOCH ? 1 : this.#epoch + 1;
    return true;
  }
}
