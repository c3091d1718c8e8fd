interface Known {
  value: string | undefined;
  /** When somebody asked for it last. */
  askedAt: number;
}

/** Who idles asks every second or so: one who has not for this long is gone. */
const FORGET_MS = 30_000;
/** A poll that is slow is followed by a pause of so many times its length. */
const REST_TO_POLL = 20;

/**
 * Polls a value of many things with one statement, however many ask. For what nobody announces and nobody has to know at once: where
 * a poll fails, the values are those of the last one.
 */
export class SharedPoll {
  readonly #read: (keys: readonly string[]) => Promise<ReadonlyMap<string, string>>;
  readonly #everyMs: number;
  readonly #known = new Map<string, Known>();
  #running: Promise<void> | undefined;
  #nextAt = 0;

  /** @param read the values of the keys, where they have any */
  constructor(read: (keys: readonly string[]) => Promise<ReadonlyMap<string, string>>, everyMs: number) {
    this.#read = read;
    this.#everyMs = everyMs;
  }

  /** @returns the value as of the last poll, or of one that is due now; undefined before the first, and where there is none */
  async get(key: string): Promise<string | undefined> {
    const now = Date.now();
    const known = this.#known.get(key) ?? { value: undefined, askedAt: now };
    known.askedAt = now;
    this.#known.set(key, known);
    if (now >= this.#nextAt) await (this.#running ??= this.#poll().finally(() => (this.#running = undefined)));
    return known.value;
  }

  async #poll(): Promise<void> {
    const startedAt = Date.now();
    for (const [key, { askedAt }] of this.#known) if (startedAt - askedAt > FORGET_MS) this.#known.delete(key);
    try {
      const values = await this.#read([...this.#known.keys()]);
      for (const [key, known] of this.#known) known.value = values.get(key) ?? known.value;
    } catch {
      // The server is away, or slow: who reads rows meets that too, and says so.
    }
    const tookMs = Date.now() - startedAt;
    this.#nextAt = Date.now() + Math.max(this.#everyMs, tookMs * REST_TO_POLL);
  }
}
