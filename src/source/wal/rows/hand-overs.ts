import type { HandOver } from './hand-over.js';
import { SpareMemory } from './spare-memory.js';

/** Who was late holds up others for five seconds a minute, and not in each batch: a ClickHouse that is slow keeps no WAL. */
const REST_MS = 60_000;

/** The hand-overs of a reader, by table id, and how often the stream has described each table. */
export class HandOvers {
  readonly #relations = new Map<string, number>();
  readonly #handOvers = new Map<string, HandOver>();
  /** Until when a table goes by key, `Date.now()`. */
  readonly #rests = new Map<string, number>();
  readonly spares = new SpareMemory();
  #described = 0;

  /**
   * The number of the last description of a table on the connection that reads now; 0 where there was none. PostgreSQL sends one before the
   * first change of a table and after each statement that may have changed its definition.
   */
  relationOf(id: string): number {
    return this.#relations.get(id) ?? 0;
  }

  /** @returns its number */
  described(id: string): number {
    this.#described += 1;
    this.#relations.set(id, this.#described);
    return this.#described;
  }

  /** Another connection describes all tables again. */
  restart(): void {
    this.#relations.clear();
  }

  /** Replaces the one before. */
  attach(handOver: HandOver): void {
    this.#handOvers.get(handOver.id)?.[Symbol.dispose]();
    this.#handOvers.set(handOver.id, handOver);
  }

  detach(handOver: HandOver): void {
    handOver[Symbol.dispose]();
    this.isResting(handOver.id);
    if (this.#handOvers.get(handOver.id) === handOver) this.#handOvers.delete(handOver.id);
  }

  /** A stage that did not confirm in time is given no rows for a while. */
  isResting(id: string): boolean {
    if (this.#handOvers.get(id)?.isLate === true) {
      this.#handOvers.delete(id);
      this.#rests.set(id, Date.now() + REST_MS);
    }
    return (this.#rests.get(id) ?? 0) > Date.now();
  }

  of(id: string): HandOver | undefined {
    return this.#handOvers.get(id);
  }
}
