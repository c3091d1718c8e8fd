import { TEXT, UNCHANGED, type Tuple } from './tuple.js';

const FIRST_BYTES = 4 * 1024;
const BACKSLASH = 0x5c;
const TAB = 0x09;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
/** `\N`, which COPY reads as NULL. */
const NOTHING = [BACKSLASH, 0x4e] as const;
/** The letters of `\t`, `\n`, `\r`. */
const ESCAPES: Readonly<Record<number, number>> = {
  [TAB]: 0x74,
  [NEWLINE]: 0x6e,
  [RETURN]: 0x72,
  [BACKSLASH]: BACKSLASH,
};

/** Marks of an outbox: see `outboxTableSql`. */
export type Mark = 't' | 'x';

/**
 * Rows for the outbox of one table as COPY text: a mark, or nothing, and then the key. From the bytes of the stream to those of the COPY:
 * a row costs no object and no string.
 */
export class KeyLines {
  /** Of the key. */
  readonly columns: number;
  #buffer: Buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #end = 0;
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
    return this.#end;
  }

  /** The lines so far: a view, which the next line may change. */
  get text(): Buffer {
    return this.#buffer.subarray(0, this.#end);
  }

  /**
   * Adds a key, where it is not that of the last line: an UPDATE that leaves the key alone, and several changes of one row, are one.
   * @param places of the key columns in the tuple, in key order
   * @param other a tuple of the same row that has what this one leaves out as unchanged
   * @returns false where a part of the key is in neither: nothing is added
   */
  add(message: Buffer, tuple: Tuple, places: readonly number[], other?: Tuple): boolean {
    const start = this.#end;
    this.#put(NOTHING[0]);
    this.#put(NOTHING[1]);
    for (const place of places) {
      const from = tuple.kinds[place] === UNCHANGED && other !== undefined ? other : tuple;
      if (place >= from.count || from.kinds[place] !== TEXT) {
        this.#end = start;
        return false;
      }
      this.#put(TAB);
      this.#putEscaped(message, from.starts[place] ?? 0, from.ends[place] ?? 0);
    }
    this.#finish(start);
    return true;
  }

  mark(mark: Mark): void {
    const start = this.#end;
    this.#put(mark.charCodeAt(0));
    for (let column = 0; column < this.columns; column++) for (const byte of [TAB, ...NOTHING]) this.#put(byte);
    this.#finish(start);
  }

  #finish(start: number): void {
    this.#put(NEWLINE);
    if (this.#repeats(start)) this.#end = start;
    else {
      this.#last = start;
      this.#rows += 1;
    }
  }

  #repeats(start: number): boolean {
    const last = this.#last;
    if (last < 0 || start - last !== this.#end - start) return false;
    return this.#buffer.compare(this.#buffer, last, start, start, this.#end) === 0;
  }

  #putEscaped(message: Buffer, start: number, end: number): void {
    // Each byte takes two at most.
    this.#reserve(2 * (end - start));
    const buffer = this.#buffer;
    let to = this.#end;
    for (let at = start; at < end; at++) {
      const byte = message[at] ?? 0;
      const escaped = byte <= BACKSLASH ? ESCAPES[byte] : undefined;
      if (escaped === undefined) buffer[to++] = byte;
      else {
        buffer[to++] = BACKSLASH;
        buffer[to++] = escaped;
      }
    }
    this.#end = to;
  }

  #put(byte: number): void {
    this.#reserve(1);
    this.#buffer[this.#end++] = byte;
  }

  #reserve(bytes: number): void {
    const needed = this.#end + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#buffer.length));
    this.#buffer.copy(larger, 0, 0, this.#end);
    this.#buffer = larger;
  }
}
