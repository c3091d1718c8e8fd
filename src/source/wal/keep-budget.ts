import type { PostgresClient } from '../../connect/postgres.js';
import { describeHolders } from '../lock-holders.js';
import { judge, readKept } from './budget.js';
import { detach, tidyDetached } from './detach.js';
import type { ReadingOptions } from './reading.js';
import { readWriters } from './slot.js';

/** What somebody has locked is left for the next look. */
const LOCK_MS = 2_000;
/** The same is said again after so long. */
const SAY_EVERY_MS = 60_000;

export interface BudgetServices extends Pick<ReadingOptions, 'source' | 'slots' | 'connect' | 'budgetBytes'> {
  /** Hears what people should know. */
  readonly onWarning: (sentence: string) => void;
}

/** Keeps what the tables behind a slot take on the disk of PostgreSQL within the budget, and gives back what detached ones took. */
export class BudgetKeeper {
  readonly #services: BudgetServices;
  readonly #slot: string;
  #isLooking = false;
  /** `Date.now()` */
  #saidAt = 0;

  constructor(services: BudgetServices, slot: string) {
    this.#services = services;
    this.#slot = slot;
  }

  /** One at a time. Never rejects: where PostgreSQL is away, who reads from it says so. @param held see `judge` */
  async look(held: string | undefined): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      await using pg = await this.#services.connect('wal budget');
      await pg.query(/* sql */ `set lock_timeout = '${LOCK_MS}ms'`);
      await this.#judge(pg, held);
      await tidyDetached(pg, this.#slot);
    } catch {
      // The next look comes soon.
    } finally {
      this.#isLooking = false;
    }
  }

  /** @param why the end of a sentence. @returns whether the table is out now. @throws the error of PostgreSQL */
  async detach(id: string, why: string): Promise<boolean> {
    await using pg = await this.#services.connect('wal budget');
    return await this.#detach(pg, id, why);
  }

  async #judge(pg: PostgresClient, held: string | undefined): Promise<void> {
    const { budgetBytes, source, slots } = this.#services;
    if (budgetBytes === undefined) return;
    const places = { source: pg, slots: slots === source ? pg : slots };
    const verdict = judge(await readKept(places, this.#slot), budgetBytes, held);
    if (verdict.is === 'within') return;
    if (verdict.is === 'held by') await this.#detach(pg, verdict.id, verdict.why);
    else if (verdict.is === 'near') this.#say(`${verdict.sentence}.`);
    else this.#say(`${verdict.sentence}, and no table holds it back: ${verdict.why ?? (await describeWriters(pg))}.`);
  }

  async #detach(pg: PostgresClient, id: string, why: string): Promise<boolean> {
    // Who reads holds the row of the slot while it waits for an outbox, 30 s at most.
    await pg.query(/* sql */ `set lock_timeout = '40s'`);
    const table = await detach(pg, this.#slot, id, why);
    await pg.query(/* sql */ `set lock_timeout = '${LOCK_MS}ms'`);
    if (table === undefined) {
      this.#say(`No table is detached, although ${why}.`);
      return false;
    }
    this.#services.onWarning(`${table} is detached from the replication slot ${this.#slot}: ${why}.`);
    return true;
  }

  #say(sentence: string): void {
    if (Date.now() - this.#saidAt < SAY_EVERY_MS) return;
    this.#saidAt = Date.now();
    this.#services.onWarning(sentence);
  }
}

/** An open transaction that has written keeps the WAL since its beginning, for every slot. */
async function describeWriters(pg: PostgresClient): Promise<string> {
  const writers = await readWriters(pg);
  if (writers.length === 0) return 'more is written than is read';
  return `transactions that are open, or more is written than is read. Open: ${describeHolders(writers, new Map())}`;
}
