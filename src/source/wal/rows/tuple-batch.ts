import type { Tuple } from '../tuple.js';
import type { RowPlan, RowPlaces } from './row-plan.js';

const FIRST_BYTES = 64 * 1024;
const FIRST_ROWS = 1_024;

/**
 * Rows and tombstones of one table in the order of the stream: their tuples, byte for byte. They are turned into text when they are sent,
 * as often as they are sent. A row costs no object.
 */
export class TupleBatch {
  #plan: RowPlan | undefined;
  #places: RowPlaces | undefined;
  #buffer: Buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #end = 0;
  /** Where each tuple starts; that of a tombstone as -1 - start. */
  #starts = new Int32Array(FIRST_ROWS);
  #rows = 0;

  /** Forgets its rows, and keeps its memory. */
  begin(plan: RowPlan, places: RowPlaces): void {
    this.#plan = plan;
    this.#places = places;
    this.#end = 0;
    this.#rows = 0;
  }

  get plan(): RowPlan {
    if (this.#plan === undefined) throw new Error('a batch that was not begun');
    return this.#plan;
  }

  get places(): RowPlaces {
    if (this.#places === undefined) throw new Error('a batch that was not begun');
    return this.#places;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#end;
  }

  /** @param tuple that was read from the message */
  add(message: Buffer, tuple: Tuple, isTombstone: boolean): void {
    const length = tuple.to - tuple.from;
    if (this.#end + length > this.#buffer.length) this.#grow(length);
    if (this.#rows === this.#starts.length) {
      const starts = new Int32Array(2 * this.#rows);
      starts.set(this.#starts);
      this.#starts = starts;
    }
    this.#starts[this.#rows] = isTombstone ? -1 - this.#end : this.#end;
    this.#rows += 1;
    message.copy(this.#buffer, this.#end, tuple.from, tuple.to);
    this.#end += length;
  }

  get text(): Buffer {
    return this.#buffer;
  }

  isTombstone(row: number): boolean {
    return (this.#starts[row] ?? 0) < 0;
  }

  /** Reads a row into `tuple`, whose places are those of `text`. */
  read(row: number, tuple: Tuple): void {
    const start = this.#starts[row] ?? 0;
    tuple.read(this.#buffer, start < 0 ? -1 - start : start);
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafe(Math.max(this.#end + length, 2 * this.#buffer.length));
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#buffer = larger;
  }
}
