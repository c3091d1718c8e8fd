import { watch, type FSWatcher } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClickHouseClient } from '@clickhouse/client';

/** `all_<block>_<block>_<level>`: a part of one insert. Merges make parts of several, and what is being written has another name. */
const NEW_PART = /^all_(\d+)_\1_\d+$/u;
/** A part gets its name a moment before queries see it: a query that comes too early costs more time than this. */
const UNTIL_SEEN_MS = 2;
const LOOKS = 5;
/** Should an event be lost. One query: each takes ClickHouse as long as the insert that it waits for. */
const LOOK_AT_LEAST_MS = 1_000;

/**
 * Notes when rows can be queried. Polling every few milliseconds would take a part of a core from ClickHouse; instead the
 * folder of the table tells when an insert has made a part, and then one query asks which rows are there. A row counts as
 * queryable when the answer with it has come.
 */
export class VisibilityWatch implements AsyncDisposable {
  readonly #clickhouse: ClickHouseClient;
  readonly #table: string;
  readonly #watcher: FSWatcher;
  readonly #timer: NodeJS.Timeout;
  readonly #seenAt = new Map<number, number>();
  readonly #commitAt = new Map<number, number>();
  #looking: Promise<void> | undefined;
  #lookAgain = false;
  /** Every row up to here was seen. */
  #low: number;
  #looks = 0;
  #error: unknown;

  private constructor(clickhouse: ClickHouseClient, table: string, folder: string, low: number) {
    this.#clickhouse = clickhouse;
    this.#table = table;
    this.#low = low;
    this.#watcher = watch(folder, (_event, name) => {
      if (name !== null && NEW_PART.test(name)) this.#ask(LOOKS);
    });
    this.#timer = setInterval(() => this.#ask(1), LOOK_AT_LEAST_MS);
  }

  /** @param low rows up to here are of no interest */
  static async open(clickhouse: ClickHouseClient, table: string, low: number): Promise<VisibilityWatch> {
    const found = await clickhouse.query({
      query: /* sql */ `select data_paths[1] as folder from system.tables
        where database = currentDatabase() and name = {table: String}`,
      query_params: { table },
      format: 'JSONEachRow',
    });
    const [row] = await found.json<{ folder: string }>();
    if (row === undefined) throw new Error(`ClickHouse has no table ${table}`);
    return new VisibilityWatch(clickhouse, table, row.folder, low);
  }

  readonly committed = (from: number, to: number, at: number): void => {
    for (let id = from; id <= to; id += 1) this.#commitAt.set(id, at);
  };

  /** Whether every row up to `last` was seen. @throws what a query threw */
  saw(last: number): boolean {
    if (this.#error !== undefined) throw this.#error;
    return this.#low >= last;
  }

  get looks(): number {
    return this.#looks;
  }

  /** From commit to sight, milliseconds, of the rows committed since `since` (`performance.now()`). */
  latencies(since: number): readonly number[] {
    return [...this.#commitAt]
      .filter(([, at]) => at >= since)
      .map(([id, at]) => Math.max(0, (this.#seenAt.get(id) ?? Infinity) - at));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#watcher.close();
    await this.#looking;
  }

  #ask(looks: number): void {
    if (this.#looking !== undefined) {
      this.#lookAgain ||= looks > 1;
      return;
    }
    this.#looking = this.#look(looks)
      .catch((error: unknown) => {
        this.#error ??= error;
      })
      .finally(() => {
        this.#looking = undefined;
        if (this.#lookAgain) this.#ask(LOOKS);
      });
  }

  async #look(looks: number): Promise<void> {
    this.#lookAgain = false;
    for (let look = 1; look <= looks; look += 1) {
      await sleep(UNTIL_SEEN_MS);
      this.#looks += 1;
      const answer = await this.#clickhouse.query({
        query: /* sql */ `select id from ${this.#table} where id > ${this.#low}`,
        format: 'TabSeparated',
      });
      const lines = (await answer.text()).split('\n');
      if (this.#note(lines) > 0) return;
    }
  }

  /** @returns how many are new */
  #note(lines: readonly string[]): number {
    const now = performance.now();
    let fresh = 0;
    for (const line of lines) {
      const id = Number(line);
      if (line === '' || this.#seenAt.has(id)) continue;
      this.#seenAt.set(id, now);
      fresh += 1;
    }
    while (this.#seenAt.has(this.#low + 1)) this.#low += 1;
    return fresh;
  }
}
