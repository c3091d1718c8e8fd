import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';
import { select } from './catalog.js';
import type { Target } from './names.js';

/** Parts of one partition up to which inserts go at once: merges are keeping up. */
const FREE_PARTS = 100;
/** ClickHouse itself delays inserts from 1,000 parts on (`parts_to_delay_insert`) and refuses them from 3,000 on. */
const CROWDED_PARTS = 800;
const LONGEST_WAIT_MS = 5_000;
/** How long a count of parts is believed, and after how many inserts it is not. */
const COUNT_AGE_MS = 2_000;
const COUNT_INSERTS = 25;
/** An insert this large is its own merge: waiting would only make it larger than a block may be. */
const LARGE_ROWS = 100_000;

/**
 * Spaces small inserts by the parts the table has: none up to `FREE_PARTS`, then ever longer up to `LONGEST_WAIT_MS`.
 * While one waits the next batch grows, so waiting costs latency, not throughput. A hint: it never fails an insert.
 */
export class InsertBudget {
  readonly #ch: ClickHouseClient;
  readonly #target: Target;
  #delayMs = 0;
  #countedAt = 0;
  #insertsSince = 0;
  #lastAt = 0;
  #lastRows = 0;

  constructor(ch: ClickHouseClient, target: Target) {
    this.#ch = ch;
    this.#target = target;
  }

  /** Returns when the next insert may go; at once when the signal is aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    if (Date.now() - this.#countedAt > COUNT_AGE_MS || this.#insertsSince >= COUNT_INSERTS) await this.#count();
    const due = this.#lastAt + this.#delayMs - Date.now();
    if (due <= 0 || this.#lastRows >= LARGE_ROWS || signal.aborted) return;
    await sleep(due, undefined, { signal }).catch(() => undefined);
  }

  /** To be called after every insert. */
  loaded(rows: number): void {
    this.#lastAt = Date.now();
    this.#lastRows = rows;
    this.#insertsSince += 1;
  }

  async #count(): Promise<void> {
    const query = /* sql */ `
      select max(parts) as parts
      from (
        select count() as parts
        from system.parts
        where active and database = {database:String} and table = {table:String}
        group by partition_id
      )`;
    const what = `counting the parts of ${this.#target.database}.${this.#target.table}`;
    // When it cannot be asked the insert will say why.
    const rows = await select<{ parts: number | string }>(this.#ch, query, { ...this.#target }, what).catch(() => []);
    this.#delayMs = delayFor(Number(rows[0]?.parts ?? 0));
    this.#countedAt = Date.now();
    this.#insertsSince = 0;
  }
}

/** Milliseconds between two small inserts: quadratic, so that it stays small while there is room. */
export function delayFor(parts: number): number {
  const crowding = Math.min(1, Math.max(0, (parts - FREE_PARTS) / (CROWDED_PARTS - FREE_PARTS)));
  return Math.round(LONGEST_WAIT_MS * crowding ** 2);
}
