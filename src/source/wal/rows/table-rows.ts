import type { Lsn } from '../lsn.js';
import type { PendingChanges } from '../pending-changes.js';
import type { Relation } from '../pgoutput.js';
import type { Tuple } from '../tuple.js';
import type { HandOver } from './hand-over.js';
import type { HandOvers } from './hand-overs.js';
import { RowPlaces } from './row-plan.js';

/** Larger rows go by key: memory holds two batches, and what is too large for Kafka is found out where they are drained. */
const LARGEST_BYTES = 1_048_576;

/** The rows of a table of the stream, while a stage takes them. */
export class TableRows {
  readonly #id: string;
  readonly #relation: Relation;
  readonly #number: number;
  readonly #handOvers: HandOvers;
  #handOver: HandOver | undefined;
  #places: RowPlaces | undefined;

  constructor(id: string, relation: Relation, handOvers: HandOvers) {
    this.#id = id;
    this.#relation = relation;
    this.#number = handOvers.described(id);
    this.#handOvers = handOvers;
  }

  /**
   * Takes a change as a whole.
   * @param commit of its transaction
   * @returns how many bytes; 0 where it has to go by key
   */
  add(pending: PendingChanges, commit: Lsn, message: Buffer, old: Tuple | undefined, now: Tuple | undefined): number {
    if (pending.truncated.size > 0 && pending.truncated.has(this.#id)) return 0;
    const places = this.#find();
    const handOver = this.#handOver;
    if (places === undefined || handOver?.covers(commit, this.#number) !== true) return 0;
    if (now !== undefined && (now.to - now.from > LARGEST_BYTES || !places.isWhole(message, now))) return 0;
    if (old !== undefined && !places.hasKey(message, old)) return 0;
    const rows = pending.rowsOf(handOver, places);
    const before = rows.bytes;
    const isMoved = old !== undefined && (now === undefined || !places.isSameKey(message, old, now));
    if (isMoved) rows.add(message, old, true);
    if (now !== undefined) rows.add(message, now, false);
    return rows.bytes - before;
  }

  /** @returns undefined where no stage takes rows, or one that knows another definition of the table */
  #find(): RowPlaces | undefined {
    const handOver = this.#handOvers.of(this.#id);
    if (handOver !== this.#handOver) {
      this.#handOver = handOver;
      this.#places = handOver === undefined ? undefined : RowPlaces.find(handOver.plan, this.#relation);
    }
    return handOver?.isOver === true ? undefined : this.#places;
  }
}
