import type { Queryable } from '../../../connect/queryable.js';
import type { ReplicatedTable } from '../../../domain/replicated-table.js';
import { classifyPostgres } from '../../../failure/classify-postgres.js';
import { noteDefinition } from '../state.js';
import { HandOver, type KnownUntil, type RowOffer } from './hand-over.js';
import type { HandOvers } from './hand-overs.js';
import { planRows, type CatalogColumn } from './row-plan.js';

/** A table that is described over and over, as by ANALYZE, goes by key meanwhile. */
const ATTACH_EVERY_MS = 1_000;

interface ReadColumn extends CatalogColumn {
  /** `xmin`: another one after every ALTER TABLE of the column, also where the rest is the same again. */
  readonly written: string;
}

/**
 * The stage's end of a hand-over.
 *
 * A row is taken only where it surely has the columns that are replicated: the stream has names and types, and those of a column that was
 * dropped and added again are the same. The catalogue says which columns there are now, and `noteDefinition` since when. So rows of
 * transactions that committed between that position and the end of the WAL before this look have these columns. Later ones have them
 * until PostgreSQL describes the table again, which it does behind each ALTER TABLE.
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

  /** The newest description of the table. */
  get described(): number {
    return this.#handOvers.relationOf(this.#table.id);
  }

  /** Whether the table should be verified again, because rows of it came that are not taken. */
  isStale(): boolean {
    const { described } = this;
    if (this.#isHelpless || this.#isResting || described === 0 || Date.now() - this.#attachedAt < ATTACH_EVERY_MS)
      return false;
    return !this.#isValid(described);
  }

  /** To be called after the catalogue was found to be as the table says. @param known from before that */
  async attach(known: KnownUntil): Promise<void> {
    this.#attachedAt = Date.now();
    if (this.#isHelpless || this.#isResting || (known.relation > 0 && this.#isValid(known.relation))) return;
    try {
      const catalog = await this.#readCatalog();
      const plan = planRows(this.#table, catalog);
      this.#isHelpless = plan === undefined;
      // The shape too: of an enum label that has another name, the columns say nothing.
      const definition = JSON.stringify([this.#table.shape, catalog]);
      const since = await noteDefinition(this.#source, this.#table.id, definition);
      if (plan === undefined || since === undefined) return;
      if (this.#handOver?.isOver === false && this.#handOver.from === since) return this.#handOver.renew(known);
      this.#handOver = new HandOver(this.#table.id, plan, since, known, this.#handOvers.spares);
      this.#handOvers.attach(this.#handOver);
    } catch (error) {
      throw classifyPostgres(error, 'looking at the columns of the table');
    }
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

  get #isResting(): boolean {
    return this.#handOvers.isResting(this.#table.id);
  }

  #isValid(described: number): boolean {
    return this.#handOver?.isOver === false && this.#handOver.knows(described);
  }

  async #readCatalog(): Promise<readonly ReadColumn[]> {
    const found = await this.#source.query<ReadColumn>(
      /* sql */ `select attname::text as name, attnum::int as position, atttypid::bigint::float8 as type,
          atttypmod as modifier, xmin::text as written
        from pg_catalog.pg_attribute where attrelid = $1::oid and attnum > 0 and not attisdropped order by attnum`,
      [this.#table.relation],
    );
    return found.rows;
  }
}
