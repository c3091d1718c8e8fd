import { countIds, readId, subtractRuns, type IdRun } from './id-runs.js';

/** Ids that had no row when the cursor passed them, and when that was: `[first, last, Unix seconds by the clock of the source]`. */
export type GapRange = readonly [first: string, last: string, since: number];

/** Ids that are not asked for any more, by the reason: older than the limit; more of them than the journal keeps. */
export interface GivenUpIds {
  /** Decimal. */
  readonly old: string;
  /** Decimal. */
  readonly many: string;
}

export interface GapLimits {
  readonly ranges: number;
  readonly ageMs: number;
}

/** A transaction that is open for longer has most likely forgotten its id. 10,000 ranges are 300 KB of the ledger, 10 ms of PostgreSQL. */
export const GAP_LIMITS: GapLimits = { ranges: 10_000, ageMs: 60 * 60_000 };

/** A gap is asked for again after a quarter of its age: 20 ms after it was seen, and every 15 s from its first minute on. */
const SHORTEST_ASK_MS = 20;
const LONGEST_ASK_MS = 15_000;
const ASK_SHARE = 0.25;

interface Gap extends IdRun {
  readonly sinceMs: number;
  /** When it was last looked for; `sinceMs` at first. */
  readonly askedMs: number;
}

/**
 * The ids below the cursor that had no row. A row may still come there: its id was drawn before its transaction touched the
 * table, so no wait for the table's writers has noticed it. They are asked for again, the younger the more often, and given up
 * after an hour; what is given up is counted.
 *
 * Its gaps are in ascending order, of ids and so of age too: the cursor only rises.
 */
export class GapJournal {
  readonly #limits: GapLimits;
  #gaps: readonly Gap[];
  #old: bigint;
  #many: bigint;

  constructor(gaps: readonly GapRange[] = [], givenUp: Partial<GivenUpIds> = {}, limits: GapLimits = GAP_LIMITS) {
    this.#limits = limits;
    this.#gaps = gaps.map(([first, last, since]) => ({
      first: readId(first),
      last: readId(last),
      sinceMs: since * 1_000,
      askedMs: 0,
    }));
    this.#old = readId(givenUp.old ?? '0');
    this.#many = readId(givenUp.many ?? '0');
  }

  get size(): number {
    return this.#gaps.length;
  }

  /** Decimal numbers of ids. */
  get givenUp(): GivenUpIds {
    return { old: String(this.#old), many: String(this.#many) };
  }

  /** The form that the ledger keeps. */
  ranges(): GapRange[] {
    return this.#gaps.map(({ first, last, sinceMs }) => [String(first), String(last), Math.floor(sinceMs / 1_000)]);
  }

  /** The cursor has passed these, and they had no row. All of them lie above those that are known. */
  add(runs: readonly IdRun[], nowMs: number): void {
    this.#gaps = [...this.#gaps, ...runs.map((run) => ({ ...run, sinceMs: nowMs, askedMs: nowMs }))];
  }

  /** A batch has these. */
  found(runs: readonly IdRun[]): void {
    this.#gaps = subtractRuns(this.#gaps, runs);
  }

  /** Those whose turn it is to be asked for. */
  due(nowMs: number): readonly IdRun[] {
    return this.#gaps.filter((gap) => dueAt(gap) <= nowMs);
  }

  /** They were asked for, and what was found will be given to `found`. */
  asked(nowMs: number): void {
    this.#gaps = this.#gaps.map((gap) => (dueAt(gap) <= nowMs ? { ...gap, askedMs: nowMs } : gap));
  }

  /** Milliseconds until the next turn; undefined without a gap. */
  nextDueMs(nowMs: number): number | undefined {
    let next: number | undefined;
    for (const gap of this.#gaps) next = Math.min(next ?? Number.POSITIVE_INFINITY, dueAt(gap));
    return next === undefined ? undefined : Math.max(0, next - nowMs);
  }

  /** Gives up what is too old, and the oldest of what is too many. @returns how many ids, for the log */
  giveUp(nowMs: number): { readonly old: bigint; readonly many: bigint } {
    const { ranges, ageMs } = this.#limits;
    const young = this.#gaps.filter(({ sinceMs }) => nowMs - sinceMs < ageMs);
    const kept = young.slice(Math.max(0, young.length - ranges));
    const old = countIds(this.#gaps) - countIds(young);
    const many = countIds(young) - countIds(kept);
    this.#gaps = kept;
    this.#old += old;
    this.#many += many;
    return { old, many };
  }
}

function dueAt({ sinceMs, askedMs }: Gap): number {
  return askedMs + Math.min(LONGEST_ASK_MS, Math.max(SHORTEST_ASK_MS, (askedMs - sinceMs) * ASK_SHARE));
}
