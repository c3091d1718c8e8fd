const CHUNK_BYTES = 1 << 20;
/** Below this, counting the bytes of a text costs more than room for the most that it may have. */
const SHORT = 256;
const MOST_BYTES_A_UNIT = 3;

/** Bytes of many rows, one after the other, in large pieces. A row that was finished is never moved. */
export class LineBuffer {
  #chunk = Buffer.allocUnsafe(0);
  #start = 0;
  #at = 0;

  text(text: string): void {
    this.#make(text.length < SHORT ? text.length * MOST_BYTES_A_UNIT : Buffer.byteLength(text));
    this.#at += this.#chunk.write(text, this.#at);
  }

  bytes(bytes: Buffer, start: number, end: number): void {
    this.#make(end - start);
    this.#at += bytes.copy(this.#chunk, this.#at, start, end);
  }

  /** @returns the bytes since the last `take` or `drop` */
  take(): Buffer {
    const line = this.#chunk.subarray(this.#start, this.#at);
    this.#start = this.#at;
    return line;
  }

  /** Forgets the bytes since the last `take` or `drop`. */
  drop(): void {
    this.#at = this.#start;
  }

  #make(length: number): void {
    if (this.#at + length <= this.#chunk.length) return;
    const begun = this.#chunk.subarray(this.#start, this.#at);
    this.#chunk = Buffer.allocUnsafe(Math.max(CHUNK_BYTES, (begun.length + length) * 2));
    begun.copy(this.#chunk);
    this.#start = 0;
    this.#at = begun.length;
  }
}
