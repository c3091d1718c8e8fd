import type { FetchPosition } from '../protocol/requests.js';

/** The two ways in which a broker has lost a session: it was restarted, or had no place for it any more. */
const FETCH_SESSION_ID_NOT_FOUND = 70;
const INVALID_FETCH_SESSION_EPOCH = 71;
const FIRST_EPOCH = 0;
const LAST_EPOCH = 0x7fff_ffff;

/**
 * What a broker remembers between fetches (KIP-227): a request names only what changed, and a response only what is new, so a
 * thousand idle partitions cost a request of 60 bytes. Its invariant: once the response to `next` was handed to `answered`, the
 * broker fetches what was wanted at `next`; what changed since then is in the following `next`.
 */
export class FetchSession {
  readonly #wanted = new Map<string, FetchPosition>();
  readonly #changed = new Map<string, FetchPosition>();
  readonly #forgotten = new Map<string, FetchPosition>();
  #id = 0;
  #epoch = FIRST_EPOCH;

  get size(): number {
    return this.#wanted.size;
  }

  want(key: string, position: FetchPosition): void {
    if (this.#wanted.get(key)?.offset === position.offset) return;
    // To the end, as the broker does: where it keeps no session, the first partitions must not starve the others.
    this.#wanted.delete(key);
    this.#wanted.set(key, position);
    this.#changed.set(key, position);
    this.#forgotten.delete(key);
  }

  forget(key: string): void {
    const known = this.#wanted.get(key);
    if (known === undefined) return;
    this.#wanted.delete(key);
    this.#changed.delete(key);
    this.#forgotten.set(key, known);
  }

  /** The session's part of the next request. */
  next(): { sessionId: number; sessionEpoch: number; partitions: FetchPosition[]; forgotten: FetchPosition[] } {
    const isFull = this.#epoch === FIRST_EPOCH;
    const request = {
      sessionId: this.#id,
      sessionEpoch: this.#epoch,
      partitions: [...(isFull ? this.#wanted : this.#changed).values()],
      forgotten: isFull ? [] : [...this.#forgotten.values()],
    };
    this.#changed.clear();
    this.#forgotten.clear();
    return request;
  }

  /** @returns false where the broker has lost the session: the next request names everything */
  answered(errorCode: number, sessionId: number): boolean {
    if (errorCode === FETCH_SESSION_ID_NOT_FOUND || errorCode === INVALID_FETCH_SESSION_EPOCH) {
      this.#id = 0;
      this.#epoch = FIRST_EPOCH;
      return false;
    }
    this.#id = sessionId;
    if (sessionId === 0) this.#epoch = FIRST_EPOCH;
    else this.#epoch = this.#epoch === LAST_EPOCH ? 1 : this.#epoch + 1;
    return true;
  }
}
