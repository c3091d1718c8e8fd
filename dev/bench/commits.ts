import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { insertOrders } from './orders.js';
import type { BenchEnvironment } from './environment.js';

const COMMITS_A_SECOND = 50;
const RECONNECT_MS = 100;
/** Every so many commits some older rows are changed and deleted too. */
const CHANGE_EVERY = 10;

/** Writes rows with ascending ids at a steady pace, on one connection, through whatever happens to it. */
export class Commits {
  readonly #environment: BenchEnvironment;
  readonly #table: string;
  readonly #rows: number;
  readonly #stopping = new AbortController();
  readonly #ended: Promise<void>;
  /** When the commit of each id was answered, `performance.now()`; index 0 is unused. */
  readonly #at: number[] = [0];
  #changes = 0;

  constructor(environment: BenchEnvironment, table: string, rowsPerSecond: number) {
    this.#environment = environment;
    this.#table = table;
    this.#rows = Math.max(1, Math.round(rowsPerSecond / COMMITS_A_SECOND));
    this.#ended = this.#run();
    this.#ended.catch(() => undefined);
  }

  /** Highest id that was committed. */
  get last(): number {
    return this.#at.length - 1;
  }

  /** Rows inserted, changed and deleted so far. */
  get changes(): number {
    return this.#changes;
  }

  committedAt(id: number): number | undefined {
    return this.#at[id];
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#ended;
  }

  async #run(): Promise<void> {
    while (!this.#isOver()) {
      try {
        await using pg = await this.#environment.connect('writer');
        await this.#resume(pg);
        await this.#write(pg);
      } catch (error) {
        this.#environment.signal.throwIfAborted();
        if (!(error instanceof Error)) throw error;
        await sleep(RECONNECT_MS);
      }
    }
  }

  #isOver(): boolean {
    return this.#stopping.signal.aborted || this.#environment.signal.aborted;
  }

  async #write(pg: Client): Promise<void> {
    let due = performance.now();
    for (let commit = 1; !this.#isOver(); commit += 1) {
      const first = this.last + 1;
      await insertOrders(pg, this.#table, first, first + this.#rows - 1);
      this.#note(first + this.#rows - 1);
      if (commit % CHANGE_EVERY === 0) await this.#change(pg, first);
      due += 1_000 / COMMITS_A_SECOND;
      const early = due - performance.now();
      if (early > 1) await sleep(early);
    }
  }

  /** Whether a commit happened whose answer was lost. */
  async #resume(pg: Client): Promise<void> {
    const found = await pg.query<{ last: number }>(`select coalesce(max(id), 0)::float8 as last from ${this.#table}`);
    this.#note(found.rows[0]?.last ?? 0);
  }

  async #change(pg: Client, before: number): Promise<void> {
    const changed = await pg.query(
      `update ${this.#table} set status = 'changed', total = total + 1 where id between $1::bigint and $1::bigint + 3`,
      [before - 1_000],
    );
    const deleted = await pg.query(`delete from ${this.#table} where id = $1::bigint`, [before - 2_000]);
    this.#changes += (changed.rowCount ?? 0) + (deleted.rowCount ?? 0);
  }

  #note(last: number): void {
    const now = performance.now();
    this.#changes += Math.max(0, last - this.last);
    while (this.last < last) this.#at.push(now);
  }
}
