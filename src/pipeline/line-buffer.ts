const CHUNK_BYTES = 1 << 20;
/** Below this, counting the bytes of a text costs more than room for the most that it may have. */
const SHORT = 256;
const MOST_BYTES_A_UNIT = 3;
/** Below it a loop is faster than a copy. */
const SHORT_COPY = 32;
const ZERO = 0x30;
/** Below it an integer takes the fast arithmetic of 32 bits. */
const BILLION = 1_000_000_000;
const BILLION_DIGITS = 9;

/** Bytes of many rows, one after the other, in large pieces. A row that was finished is never moved. */
export class LineBuffer {
  #chunk = Buffer.allocUnsafe(0);
  #start = 0;
  #at = 0;

  text(text: string): void {
    this.#make(text.length < SHORT ? text.length * MOST_BYTES_A_UNIT : Buffer.byteLength(text));
    this.#at += this.#chunk.write(text, this.#at);
  }

  byte(byte: number): void {
    this.#make(1);
    this.#chunk[this.#at++] = byte;
  }

  /** The digits of an integer from 0 to 2^53, with zeros in front of fewer than `width`. */
  digits(value: number, width = 1): void {
    if (value >= BILLION || width > BILLION_DIGITS) {
      const high = Math.floor(value / BILLION);
      this.digits(high, Math.max(1, width - BILLION_DIGITS));
      return this.digits(value - high * BILLION, BILLION_DIGITS);
    }
    let count = 1;
    for (let bound = 10; value >= bound; bound *= 10) count += 1;
    count = Math.max(count, width);
    this.#make(count);
    let rest = value;
    for (let at = this.#at + count - 1; at >= this.#at; at--) {
      const next = (rest / 10) | 0;
      this.#chunk[at] = ZERO + rest - next * 10;
      rest = next;
    }
    this.#at += count;
  }

  bytes(bytes: Buffer, start: number, end: number): void {
    this.#make(end - start);
    if (end - start >= SHORT_COPY) this.#at += bytes.copy(this.#chunk, this.#at, start, end);
    else for (let from = start; from < end; from++) this.#chunk[this.#at++] = bytes[from] ?? 0;
  }

  /** @returns the bytes since the last `take` or `drop` */
  take(): Buffer {
    const line = this.#chunk.subarray(this.#start, this.#at);
    this.#start = this.#at;
    return line;
  }

  /** @returns the bytes since the last `take` or `drop`; they hold until something is written after the next `drop` */
  look(): Buffer {
    return this.#chunk.subarray(this.#start, this.#at);
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
