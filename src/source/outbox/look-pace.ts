/** The part of an outbox in which a look searches, by `seq`. Absent: from the low-water, to the end. */
export interface OutboxPart {
  readonly after?: bigint;
  readonly upTo?: bigint;
}

/** After a look for late events so many times its length is for new ones alone. */
const REST_TO_LOOK = 9;
const LONGEST_REST_MS = 30_000;
/** Positions that a look for late events passes at most: half a second of PostgreSQL where each has a dead event. */
const MOST_PASSED = 1_000_000n;

/**
 * Two paces at which the same outbox is searched. New events lie above those that were published, and are found at once. Those of
 * transactions that commit late lie below, among all that was deleted since the oldest transaction of the server began: VACUUM leaves
 * it there, and a look from the low-water passes it. So such looks take a tenth of the time, and a long way is gone in steps, each
 * followed by a look for new events. Where no transaction is old, they cost nothing, and every look is one.
 */
export class LookPace {
  #dueAtMs = 0;
  /** Where the next step begins; absent: at the low-water. */
  #next: bigint | undefined;
  #wasStep = false;

  /** @param last the highest that was published */
  part(lowWater: bigint, last: bigint, nowMs: number): OutboxPart {
    const isNewOnly = this.#wasStep || nowMs < this.#dueAtMs;
    this.#wasStep = false;
    if (isNewOnly) return { after: last };
    if (last - lowWater <= MOST_PASSED) return {};
    const from = this.#next === undefined || this.#next < lowWater || this.#next >= last ? lowWater : this.#next;
    const to = from + MOST_PASSED;
    return { after: from, upTo: to < last ? to : last };
  }

  /** @param found the first and the last event of what was found */
  looked(
    { after, upTo }: OutboxPart,
    found: { readonly first: bigint; readonly last: bigint } | undefined,
    { last, tookMs, nowMs }: { readonly last: bigint; readonly tookMs: number; readonly nowMs: number },
  ): void {
    if (after !== undefined && upTo === undefined) return;
    this.#wasStep = upTo !== undefined;
    this.#next = upTo === undefined ? undefined : (found?.last ?? upTo);
    // Where one was late, others are.
    const isLate = found !== undefined && found.first <= last;
    this.#dueAtMs = isLate ? nowMs : nowMs + Math.min(tookMs * REST_TO_LOOK, LONGEST_REST_MS);
  }
}
