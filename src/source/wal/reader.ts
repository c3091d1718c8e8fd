import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../../connect/queryable.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { policyOf } from '../../failure/kinds.js';
import { PollBackoff } from '../../pipeline/poll-backoff.js';
import type { Lsn } from './lsn.js';
import { HeldByTable } from './held-by-table.js';
import { BudgetKeeper, type BudgetServices } from './keep-budget.js';
import { readSlotOnce } from './read-slot.js';
import type { ReadingOptions } from './reading.js';
import { HandOvers } from './rows/hand-overs.js';

/** How often a worker that finds the slot taken looks whether its reader is gone. */
const BUSY_MS = 1_000;
const BACKOFF = { shortestMs: 100, longestMs: 5_000, growth: 2 };
/** Slices follow one another: the reader goes on between two of them. */
const LINGER_MS = 30_000;
const POLL_MS = 5;
/** Who finds the slot taken soon after it has read finds its own connection, which PostgreSQL is about to close. */
const OWN_MS = 2_000;
/** A server that restarts is back by then. */
const OUTAGE_MS = 30_000;
/** An attempt on a server that answers takes some milliseconds. */
const ATTEMPT_MS = 5_000;
/** An outbox grows by some 50 MB in between. */
const BUDGET_MS = 5_000;

export interface ReaderServices extends BudgetServices, Pick<ReadingOptions, 'messages'> {
  readonly onFailure: (failure: Failure) => void;
}

/**
 * Reads a slot as long as somebody holds it. Of all workers that hold one, PostgreSQL lets one read; the others try again now and then,
 * and take over when that one is gone.
 */
export class WalReader {
  readonly #services: ReaderServices;
  readonly #slot: string;
  readonly handOvers = new HandOvers();
  #isClosed = false;
  #holders = 0;
  #linger: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;
  /** `beginning` also after a failure. */
  #state: 'beginning' | 'reading' | 'busy' = 'beginning';
  #reached: Lsn = 0n;
  #wanted: Lsn = 0n;
  #failure: Failure | undefined;
  /** The table whose outbox the last attempt could not write, until a position is reached behind that attempt's. */
  #held: { readonly id: string; readonly reached: Lsn } | undefined;
  readonly #budget: BudgetKeeper;
  /** Why logical messages were not sent by the last attempt: a connection that was opened since says nothing of that. */
  #unsent: { readonly failure: Failure; readonly since: number; readonly isNews: boolean } | undefined;
  /** Attempts to send logical messages. */
  #sends = 0;
  /** When it read last, `Date.now()`. */
  #readAt = 0;
  /** When the first of the failures in a row was, `Date.now()`. */
  #failedAt = 0;
  #turn = new AbortController();
  #pause = new AbortController();
  /** How many attempts were begun, and the last one of which is known whether it can read. */
  #attempts = { begun: 0, judged: 0 };

  constructor(services: ReaderServices, slot: string) {
    this.#services = services;
    this.#slot = slot;
    this.#budget = new BudgetKeeper(services, slot);
  }

  /**
   * For the tables that wait for it: they show it, and say what to do. A failure that parks is tried once more before: a person may have
   * mended it since, and the table that was added again or resumed would park for what is over.
   * @throws Failure why it cannot read; one that passes by itself only after a while
   */
  async requireReading(): Promise<void> {
    if (isParked(this.#failure) && !(await this.#tryAgain())) return;
    if (isParked(this.#unsent?.failure) && !(await this.#sendAgain())) return;
    this.#throwAfter(this.#failure, this.#failedAt);
    this.#throwAfter(this.#unsent?.failure, this.#unsent?.since ?? 0);
  }

  /** @param since `Date.now()` */
  #throwAfter(failure: Failure | undefined, since: number): void {
    if (failure === undefined) return;
    if (isParked(failure) || Date.now() - since > OUTAGE_MS) throw failure;
  }

  /** Keeps the reader going until it is disposed. */
  hold(): Disposable {
    this.#holders += 1;
    clearTimeout(this.#linger);
    this.#start();
    let isHeld = true;
    return {
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        this.#holders -= 1;
        if (this.#holders > 0) return;
        this.#linger = setTimeout(() => this.#turn.abort(), LINGER_MS);
        this.#linger.unref();
      },
    };
  }

  /** @returns whether changes before a position may not be in the outboxes yet; false where another worker reads. It makes PostgreSQL say where it stands. */
  isBefore(position: Lsn): boolean {
    if (position > this.#wanted) this.#wanted = position;
    return this.#state !== 'busy' && this.#reached < position;
  }

  /** @returns whether all that was committed before a position is in the outboxes, as far as this worker knows: it has read it itself */
  hasReached(position: Lsn): boolean {
    return this.#reached >= position;
  }

  /** Waits a moment for a position. @returns as `isBefore` */
  async isStillBefore(position: Lsn, withinMs: number): Promise<boolean> {
    const until = Date.now() + withinMs;
    while (this.isBefore(position)) {
      if (Date.now() > until) return true;
      await sleep(POLL_MS);
    }
    return false;
  }

  async close(): Promise<void> {
    clearTimeout(this.#linger);
    this.#isClosed = true;
    this.#turn.abort();
    await this.#running;
  }

  #start(): void {
    if (this.#isClosed) return;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // It was held again while it came to its end.
      if (this.#holders > 0) this.#start();
    });
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    const backoff = new PollBackoff(BACKOFF);
    this.#turn = new AbortController();
    const timer = setInterval(() => {
      // Who reads knows what holds it up.
      if (this.#state !== 'busy') void this.#budget.look(this.#held?.id);
    }, BUDGET_MS);
    while (!this.#isOver) {
      const attempt = (this.#attempts.begun += 1);
      const pauseMs = await this.#read(backoff, attempt);
      this.#attempts.judged = attempt;
      this.#pause = new AbortController();
      const signal = AbortSignal.any([this.#turn.signal, this.#pause.signal]);
      await sleep(this.#isOver ? 0 : pauseMs, undefined, { signal }).catch(() => undefined);
    }
    clearInterval(timer);
  }

  /** Does not wait for its pause. @returns whether an attempt that began after the call has said whether it can read */
  async #tryAgain(): Promise<boolean> {
    const wanted = this.#attempts.begun + 1;
    const until = Date.now() + ATTEMPT_MS;
    while (this.#attempts.judged < wanted) {
      if (Date.now() > until || this.#isOver) return false;
      if (this.#attempts.begun < wanted) this.#pause.abort();
      await sleep(POLL_MS);
    }
    return true;
  }

  /** As `#tryAgain`, of logical messages. */
  async #sendAgain(): Promise<boolean> {
    const before = this.#sends;
    const until = Date.now() + ATTEMPT_MS;
    this.#pause.abort();
    while (this.#sends === before) {
      if (Date.now() > until || this.#isOver) return false;
      await sleep(POLL_MS);
    }
    return true;
  }

  #sent(error: unknown): void {
    this.#sends += 1;
    if (error === undefined) {
      this.#unsent = undefined;
      return;
    }
    const failure = classifyPostgres(error, `sending the logical messages of ${this.#slot}`);
    const before = this.#unsent;
    const isNews = before?.failure.message !== failure.message;
    this.#unsent = { failure, since: before?.since ?? Date.now(), isNews };
  }

  /** @returns how long to wait before the next attempt */
  async #read(backoff: PollBackoff, attempt: number): Promise<number> {
    let hasRead = false;
    [this.#reached, this.#wanted] = [0n, 0n];
    try {
      const outcome = await readSlotOnce({
        ...this.#services,
        slot: this.#slot,
        signal: this.#turn.signal,
        onStarted: () => {
          this.#state = 'reading';
          hasRead = true;
          this.#failure = undefined;
          this.#attempts.judged = attempt;
          if (this.#unsent === undefined) backoff.reset();
        },
        onSent: (error) => this.#sent(error),
        onReached: (position) => {
          if (position <= this.#reached) return;
          this.#reached = position;
          if (this.#held !== undefined && position > this.#held.reached) this.#held = undefined;
        },
        isWanted: () => this.#wanted > this.#reached,
        handOvers: this.handOvers,
      });
      this.#failure = undefined;
      const isOther = outcome === 'busy' && Date.now() - this.#readAt > OWN_MS;
      this.#state = isOther ? 'busy' : 'beginning';
      if (isOther) {
        this.#held = undefined;
        // It is that one's to send them.
        this.#unsent = undefined;
      }
      return isOther ? BUSY_MS : backoff.nextMs();
    } catch (error) {
      if (this.#isOver) return 0;
      this.#state = 'beginning';
      const reached = this.#reached;
      // A server that took over may answer from now on, which has other changes at the same positions.
      this.#reached = 0n;
      this.#failed(await this.#explain(error, reached));
      return backoff.nextMs();
    } finally {
      if (hasRead) this.#readAt = Date.now();
    }
  }

  /** A table whose outbox cannot be written stands in the way of others: it is no failure of theirs. @param reached by the attempt */
  async #explain(error: unknown, reached: Lsn): Promise<Failure> {
    const what = `reading the replication slot ${this.#slot}`;
    const before = this.#held?.reached ?? 0n;
    this.#held = undefined;
    if (!(error instanceof HeldByTable)) return classifyPostgres(error, what);
    const { id, isForGood, cause } = error;
    this.#held = { id, reached: before > reached ? before : reached };
    const failure = classifyPostgres(cause, `writing the outbox of table ${id}, which holds up ${what}`);
    const isOut =
      isForGood && (await this.#budget.detach(id, 'its outbox is gone, or is not as it was made').catch(() => false));
    return new Failure(isOut ? 'Fenced' : 'LockTimeout', {
      message: failure.message,
      remedy: 'Look who has locked or altered the outbox. The tables go on by themselves.',
      cause,
    });
  }

  #failed(failure: Failure): void {
    const before = this.#failure;
    // Another reader has it, or the tables are others now.
    this.#failure = failure.kind === 'Fenced' ? undefined : failure;
    if (this.#failure === undefined) return;
    if (before === undefined) this.#failedAt = Date.now();
    const isTold = failure.message === this.#unsent?.failure.message && !this.#unsent.isNews;
    if (before?.message !== failure.message && !isTold) this.#services.onFailure(failure);
  }

  get #isOver(): boolean {
    return this.#turn.signal.aborted;
  }
}

function isParked(failure: Failure | undefined): boolean {
  return failure !== undefined && policyOf(failure.kind).treatment === 'parked';
}

/** The readers of a worker, by slot. */
export class WalReaders {
  readonly #services: ReaderServices;
  readonly #readers = new Map<string, WalReader>();

  constructor(services: ReaderServices) {
    this.#services = services;
  }

  /** The server that has the slots. */
  get slots(): Queryable {
    return this.#services.slots;
  }

  of(slot: string): WalReader {
    let reader = this.#readers.get(slot);
    if (reader === undefined) this.#readers.set(slot, (reader = new WalReader(this.#services, slot)));
    return reader;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#readers.values()].map((reader) => reader.close()));
  }
}
