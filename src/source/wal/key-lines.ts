import { TextBuffer } from './text-buffer.js';
import { TEXT, UNCHANGED, type Tuple } from './tuple.js';

const FIRST_BYTES = 4 * 1024;
const TAB = 0x09;
const NEWLINE = 0x0a;
/** What COPY reads as NULL. */
const NOTHING = Buffer.from(String.raw`\N`, 'latin1');

/** Marks of an outbox: see `outboxTableSql`. */
export type Mark = 't' | 'x';

/**
 * Rows for the outbox of one table as COPY text: a mark, or nothing, and then the key. From the bytes of the stream to those of the COPY:
 * a row costs no object and no string.
 */
export class KeyLines {
  /** Of the key. */
  readonly columns: number;
  readonly #copy = new TextBuffer(FIRST_BYTES);
  /** Of the last line; -1 where there is none. */
  #last = -1;
  #rows = 0;

  constructor(columns: number) {
    this.columns = columns;
  }

  get rows(): number {
    return this.#rows;
  }

  get bytes(): number {
    return this.#copy.end;
  }

  /** The lines so far: a view, which the next line may change. */
  get text(): Buffer {
    return this.#copy.text;
  }

  /**
   * Adds a key, where it is not that of the last line: an UPDATE that leaves the key alone, and several changes of one row, are one.
   * @param places of the key columns in the tuple, in key order
   * @param other a tuple of the same row that has what this one leaves out as unchanged
   * @returns false where a part of the key is in neither: nothing is added
   */
  add(message: Buffer, tuple: Tuple, places: readonly number[], other?: Tuple): boolean {
    const copy = this.#copy;
    const start = copy.end;
    copy.append(NOTHING);
    for (const place of places) {
      const from = tuple.kinds[place] === UNCHANGED && other !== undefined ? other : tuple;
      if (place >= from.count || from.kinds[place] !== TEXT) {
        copy.end = start;
        return false;
      }
      copy.put(TAB);
      copy.appendCopy(message, from.starts[place] ?? 0, from.ends[place] ?? 0);
    }
    this.#finish(start);
    return true;
  }

  mark(mark: Mark): void {
    const start = this.#copy.end;
    this.#copy.put(mark.charCodeAt(0));
    for (let column = 0; column < this.columns; column++) {
      this.#copy.put(TAB);
      this.#copy.append(NOTHING);
    }
    this.#finish(start);
  }

  #finish(start: number): void {
    this.#copy.put(NEWLINE);
    if (this.#repeats(start)) this.#copy.end = start;
    else {
      this.#last = start;
      this.#rows += 1;
    }
  }

  #repeats(start: number): boolean {
    const last = this.#last;
    const { bytes, end } = this.#copy;
    if (last < 0 || start - last !== end - start) return false;
    return bytes.compare(bytes, last, start, start, end) === 0;
  }
}
