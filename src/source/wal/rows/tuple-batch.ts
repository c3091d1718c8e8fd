import { TextBuffer } from '../text-buffer.js';
import type { Tuple } from '../tuple.js';
import type { RowPlan, RowPlaces } from './row-plan.js';

const FIRST_BYTES = 64 * 1024;
const FIRST_ROWS = 1_024;

/** What holds the rows of a batch, and then those of another one: megabytes are not asked for again and again. */
export class TupleMemory {
  readonly tuples: TextBuffer;
  /** Where each tuple starts; that of a tombstone as -1 - start. */
  starts: Int32Array;

  constructor(bytes = FIRST_BYTES, rows = FIRST_ROWS) {
    this.tuples = new TextBuffer(bytes);
    this.starts = new Int32Array(rows);
  }
}

/**
 * Rows and tombstones of one table in the order of the stream: their tuples, byte for byte. They are turned into text when they are sent,
 * as often as they are sent. A row costs no object.
 */
export class TupleBatch {
  readonly plan: RowPlan;
  readonly places: RowPlaces;
  #memory: TupleMemory;
  #rows = 0;

  /** @param memory that nothing else uses */
  constructor(plan: RowPlan, places: RowPlaces, memory = new TupleMemory()) {
    this.plan = plan;
    this.places = places;
    this.#memory = memory;
    memory.tuples.end = 0;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#memory.tuples.end;
  }

  /** @param tuple that was read from the message */
  add(message: Buffer, tuple: Tuple, isTombstone: boolean): void {
    const memory = this.#memory;
    if (this.#rows === memory.starts.length) {
      const starts = new Int32Array(2 * this.#rows);
      starts.set(memory.starts);
      memory.starts = starts;
    }
    const start = memory.tuples.end;
    memory.starts[this.#rows] = isTombstone ? -1 - start : start;
    this.#rows += 1;
    memory.tuples.append(message, tuple.from, tuple.to);
  }

  get text(): Buffer {
    return this.#memory.tuples.bytes;
  }

  isTombstone(row: number): boolean {
    return (this.#memory.starts[row] ?? 0) < 0;
  }

  /** Reads a row into `tuple`, whose places are those of `text`. */
  read(row: number, tuple: Tuple): void {
    const start = this.#memory.starts[row] ?? 0;
    tuple.read(this.text, start < 0 ? -1 - start : start);
  }

  /** Gives its memory away. It has no rows from then on: who still reads it comes to an end, and never to rows of another table. */
  release(): TupleMemory {
    const memory = this.#memory;
    this.#memory = new TupleMemory(0, 0);
    this.#rows = 0;
    return memory;
  }
}
