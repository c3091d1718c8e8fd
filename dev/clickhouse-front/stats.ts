/** What one table was sent and has acknowledged since the front started. */
interface TableCount {
  inserts: number;
  rows: number;
  bytes: number;
}

/**
 * Counters for those who test against the front: rows acknowledged by table, whether or not they survive deduplication
 * and merges, so that what arrived more than once can be counted from outside. They start at zero with the process.
 */
export class Stats {
  readonly #startedAt = new Date();
  readonly #tables = new Map<string, TableCount>();
  #queries = 0;
  #failed = 0;
  #cutShort = 0;
  #cancelled = 0;

  /** An insert whose rows are in the table. `rows` are those parsed, not those of materialized views. */
  acknowledge(table: string, rows: number, bytes: number): void {
    const count = this.#tables.get(table) ?? { inserts: 0, rows: 0, bytes: 0 };
    this.#tables.set(table, { inserts: count.inserts + 1, rows: count.rows + rows, bytes: count.bytes + bytes });
  }

  query(): void {
    this.#queries += 1;
  }

  failed(): void {
    this.#failed += 1;
  }

  /** A body that ended before its end: nothing of it was inserted. */
  cutShort(): void {
    this.#cutShort += 1;
  }

  /** A query whose client went away. */
  cancelled(): void {
    this.#cancelled += 1;
  }

  /** The JSON of `/pg2click/stats`. */
  report(now: { readonly running: number; readonly queued: number }): Readonly<Record<string, unknown>> {
    return {
      startedAt: this.#startedAt.toISOString(),
      pid: process.pid,
      running: now.running,
      queued: now.queued,
      queries: this.#queries,
      failed: this.#failed,
      cutShort: this.#cutShort,
      cancelled: this.#cancelled,
      tables: Object.fromEntries([...this.#tables].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    };
  }
}
