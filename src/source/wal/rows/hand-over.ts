import type { Lsn } from '../lsn.js';
import type { RowPlan, RowPlaces } from './row-plan.js';
import { SpareMemory } from './spare-memory.js';
import { TupleBatch } from './tuple-batch.js';

/** The stage has come to its end, is busy, or its server is away: the rows go by key. Until then they hold up other tables. */
const TAKE_MS = 1_000;
const CONFIRM_MS = 5_000;

/** Rows that the reader of the WAL has, and that are nowhere else yet. */
export interface RowOffer {
  readonly batch: TupleBatch;
  /** Positions of its rows, from the sequence of the outbox. */
  readonly first: bigint;
  readonly last: bigint;
}

/** How far it is known which columns a table has. */
export interface KnownUntil {
  /** The end of the WAL before the catalogue was read. */
  readonly until: Lsn;
  /** The newest description of the table before that, by `HandOvers.relationOf`: it holds until there is another one. */
  readonly relation: number;
}

interface Offered extends RowOffer {
  readonly end: (isConfirmed: boolean) => void;
}

/**
 * Where the reader of the WAL gives the rows of a table to the stage that moves them, in one process and in memory. What was given and is
 * not confirmed is not acknowledged to PostgreSQL: it comes again.
 */
export class HandOver implements Disposable {
  /** Of the table. */
  readonly id: string;
  readonly plan: RowPlan;
  /** Transactions that commit before it may have rows of other columns. */
  readonly from: Lsn;
  #until: Lsn;
  #relation: number;
  #waiting: Offered | undefined;
  #taken: Offered | undefined;
  #isOver = false;
  #isLate = false;
  #wake: () => void = () => undefined;
  readonly #spares: SpareMemory;

  /** @param known as `renew` */
  constructor(id: string, plan: RowPlan, from: Lsn, known: KnownUntil, spares = new SpareMemory()) {
    this.#spares = spares;
    this.id = id;
    this.plan = plan;
    this.from = from;
    this.#until = known.until;
    this.#relation = known.relation;
  }

  /** The columns were compared again, and are the same. */
  renew({ until, relation }: KnownUntil): void {
    this.#until = until;
    this.#relation = relation;
  }

  /** Whether it was compared under this description of the table. */
  knows(relation: number): boolean {
    return this.#relation === relation;
  }

  /** @param commit of a transaction that has written rows under this description. @returns whether they have the columns of the plan */
  covers(commit: Lsn, relation: number): boolean {
    return commit >= this.from && (commit < this.#until || this.#relation === relation);
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  /** It had rows and did not confirm them in time: all tables of the slot have waited for it. */
  get isLate(): boolean {
    return this.#isLate;
  }

  emptyBatch(places: RowPlaces): TupleBatch {
    return new TupleBatch(this.plan, places, this.#spares.take());
  }

  /** Called once when rows wait, or at once where they do. */
  onOffer(wake: () => void): void {
    this.#wake = wake;
    if (this.#waiting !== undefined) wake();
  }

  /** @returns whether the rows are where they belong; if not, they may still get there */
  async offer(offer: RowOffer): Promise<boolean> {
    if (this.#isOver) return false;
    const timers: NodeJS.Timeout[] = [];
    try {
      return await new Promise<boolean>((end) => {
        const offered: Offered = { ...offer, end };
        // Of a reader that has failed meanwhile.
        this.#waiting?.end(false);
        this.#waiting = offered;
        const refuse = (): void => {
          this[Symbol.dispose]();
          end(false);
        };
        const refuseWaiting = (): void => (this.#waiting === offered ? refuse() : undefined);
        const refuseLate = (): void => {
          this.#isLate = true;
          refuse();
        };
        timers.push(setTimeout(refuseWaiting, TAKE_MS), setTimeout(refuseLate, CONFIRM_MS));
        this.#wake();
      });
    } finally {
      timers.forEach(clearTimeout);
    }
  }

  get isWaitedFor(): boolean {
    return this.#waiting !== undefined;
  }

  /** @returns rows that wait: they are to be confirmed, or the hand-over to be ended */
  take(): RowOffer | undefined {
    this.#taken ??= this.#waiting;
    this.#waiting = undefined;
    return this.#taken;
  }

  confirm(): void {
    const taken = this.#taken;
    this.#taken = undefined;
    if (taken === undefined) return;
    taken.end(true);
    // Of rows that were refused before, the reader writes the keys.
    if (!this.#isOver) this.#spares.keep(taken.batch.release());
  }

  /** No more rows are given. Those that wait, or are in hand, are not waited for. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    for (const offered of [this.#waiting, this.#taken]) offered?.end(false);
    this.#waiting = undefined;
    this.#wake();
  }
}
