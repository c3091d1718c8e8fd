import type { Queryable } from '../../../connect/queryable.js';
import type { ReplicatedTable } from '../../../domain/replicated-table.js';
import { classifyPostgres } from '../../../failure/classify-postgres.js';
import { parseLsn, type Lsn } from '../lsn.js';
import { HandOver, type HandOvers, type RowOffer } from './hand-over.js';
import { planRows, type CatalogColumn } from './row-plan.js';

/** A table that is described over and over, as by ANALYZE, goes by key meanwhile. */
const ATTACH_EVERY_MS = 1_000;

/**
 * The stage's end of a hand-over.
 *
 * A row is taken only where its definition is surely the one that is replicated. The catalogue is compared, then the end of the WAL is read:
 * a transaction that commits behind it has no row of an earlier definition, because ALTER TABLE waits for all who have written. And one
 * that comes later makes PostgreSQL describe the table again, which ends the hand-over.
 */
export class RowTaker implements Disposable {
  readonly #source: Queryable;
  readonly #table: ReplicatedTable;
  readonly #handOvers: HandOvers;
  #handOver: HandOver | undefined;
  /** `Date.now()` */
  #attachedAt = 0;
  #isHelpless = false;

  constructor(source: Queryable, table: ReplicatedTable, handOvers: HandOvers) {
    this.#source = source;
    this.#table = table;
    this.#handOvers = handOvers;
  }

  /** To be read before the catalogue is compared: see `attach`. */
  described(): number {
    return this.#handOvers.relationOf(this.#table.id);
  }

  /** Whether the table should be verified again, because rows of it came that are not taken. */
  isStale(): boolean {
    const described = this.described();
    if (this.#isHelpless || described === 0 || Date.now() - this.#attachedAt < ATTACH_EVERY_MS) return false;
    return !this.#isValid(described);
  }

  /** @param described before the catalogue was compared */
  async attach(described: number): Promise<void> {
    this.#attachedAt = Date.now();
    if (described === 0 || this.#isHelpless || this.#isValid(described)) return;
    const { id } = this.#table;
    const catalog = await this.#readCatalog();
    const plan = planRows(this.#table, catalog.columns);
    if (plan === undefined) {
      this.#isHelpless = true;
      return;
    }
    this.#handOver = new HandOver(id, plan, catalog.end, described);
    this.#handOvers.attach(this.#handOver);
  }

  get isWaitedFor(): boolean {
    return this.#handOver?.isWaitedFor === true;
  }

  take(): RowOffer | undefined {
    return this.#handOver?.take();
  }

  confirm(): void {
    this.#handOver?.confirm();
  }

  /** @returns a signal that is aborted with this one, and when rows wait; until it is disposed of */
  untilOffer(signal: AbortSignal): Disposable & { readonly signal: AbortSignal } {
    const woken = new AbortController();
    const wake = (): void => woken.abort();
    this.#handOver?.onOffer(wake);
    if (signal.aborted) wake();
    else signal.addEventListener('abort', wake, { once: true });
    return { signal: woken.signal, [Symbol.dispose]: () => signal.removeEventListener('abort', wake) };
  }

  [Symbol.dispose](): void {
    if (this.#handOver !== undefined) this.#handOvers.detach(this.#handOver);
    this.#handOver = undefined;
  }

  #isValid(described: number): boolean {
    return this.#handOver?.isOver === false && this.#handOver.relation === described;
  }

  /** The columns of the table as they are, and the end of the WAL as it was after that. */
  async #readCatalog(): Promise<{ readonly columns: readonly CatalogColumn[]; readonly end: Lsn }> {
    try {
      const found = await this.#source.query<CatalogColumn>(
        /* sql */ `select attname::text as name, attnum::int as position, atttypid::bigint::float8 as type,
            atttypmod as modifier
          from pg_catalog.pg_attribute where attrelid = $1::oid and attnum > 0 and not attisdropped`,
        [this.#table.relation],
      );
      const end = await this.#source.query<{ lsn: string }>(
        /* sql */ `select pg_catalog.pg_current_wal_insert_lsn()::text as lsn`,
      );
      return { columns: found.rows, end: parseLsn(end.rows[0]?.lsn ?? '0/0') };
    } catch (error) {
      throw classifyPostgres(error, 'looking at the columns of the table');
    }
  }
}
