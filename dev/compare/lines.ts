const NEWLINE = 0x0a;
const TAB = 0x09;
const EMPTY = Buffer.alloc(0);

/**
 * The lines of a byte stream, one after the other, in place: a line is a range of a buffer, never an object of its own.
 * A line is `key TAB rest`.
 */
export class Lines {
  #buffer: Buffer = EMPTY;
  #start = 0;
  /** Exclusive, without the newline; -1 where no line is current. */
  #end = -1;
  #keyEnd = 0;
  readonly #source: AsyncIterator<Buffer>;
  #count = 0;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Lines stepped onto so far. */
  get count(): number {
    return this.#count;
  }

  /** Steps onto the next line if it is in the buffer already. */
  step(): boolean {
    const from = this.#end + 1;
    const end = this.#buffer.indexOf(NEWLINE, from);
    if (end < 0) return false;
    this.#start = from;
    this.#end = end;
    this.#keyEnd = this.#buffer.indexOf(TAB, from);
    if (this.#keyEnd < 0 || this.#keyEnd > end) throw new Error('A line without a tab came where rows were expected.');
    this.#count += 1;
    return true;
  }

  /** Reads on until there is a next line, and steps onto it. @returns false at the end */
  async read(): Promise<boolean> {
    for (;;) {
      const { value, done } = await this.#source.next();
      const rest = this.#buffer.subarray(this.#end + 1);
      this.#end = -1;
      if (done === true) {
        this.#buffer = EMPTY;
        if (rest.length > 0) throw new Error('A stream of rows ended in the middle of one.');
        return false;
      }
      this.#buffer = rest.length === 0 ? value : Buffer.concat([rest, value]);
      if (this.step()) return true;
    }
  }

  get key(): string {
    return this.#buffer.toString('latin1', this.#start, this.#keyEnd);
  }

  /** By bytes: below 0 where this line's key is the lower one. */
  compareKey(other: Lines): number {
    return this.#buffer.compare(other.#buffer, other.#start, other.#keyEnd, this.#start, this.#keyEnd);
  }

  equals(other: Lines): boolean {
    return this.#buffer.compare(other.#buffer, other.#start, other.#end, this.#start, this.#end) === 0;
  }
}
