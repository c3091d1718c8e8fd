/** Four groups of 7 bits. */
const LOW = 0x1000_0000;
/** With four groups below it, it makes a number below 2^52. */
const EXACT_MIDDLE = 0x100_0000;
const EXACT = 2n ** 53n;

/** Bytes that are no record of the schema that they are read by. */
export class MalformedRecord extends Error {}

/** Reads Avro's encoding from the bytes of one message. @throws (each read) MalformedRecord where the bytes end before the value */
export class AvroInput {
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  /** @param at where the record begins; @param end where the message does */
  open(bytes: Buffer, at: number, end = bytes.length): void {
    this.#bytes = bytes;
    this.#at = at;
    this.#end = end;
  }

  get bytes(): Buffer {
    return this.#bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#end;
  }

  byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined || this.#at >= this.#end) throw new MalformedRecord('it ends within a value');
    this.#at += 1;
    return byte;
  }

  float(): number {
    return this.#bytes.readFloatLE(this.skip(4));
  }

  double(): number {
    return this.#bytes.readDoubleLE(this.skip(8));
  }

  /** @returns where the bytes that are passed over begin */
  skip(length: number): number {
    const start = this.#at;
    this.#at += length;
    if (length < 0 || this.#at > this.#end) throw new MalformedRecord('it ends within a value');
    return start;
  }

  /** @returns a number where that is exact, else a bigint */
  long(): number | bigint {
    const low = this.#group();
    if (low < LOW) return (low >>> 1) ^ -(low & 1);
    const middle = this.#group();
    if (middle < EXACT_MIDDLE) {
      const zigzag = middle * LOW + low - LOW;
      return zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
    }
    const high = middle < LOW ? 0 : this.#group();
    const zigzag = BigInt(low % LOW) + (BigInt(middle % LOW) << 28n) + (BigInt(high) << 56n);
    const value = BigInt.asIntN(64, (zigzag >> 1n) ^ -(zigzag & 1n));
    return value < EXACT && value > -EXACT ? Number(value) : value;
  }

  /** Of bytes, or of a list. */
  length(): number {
    const length = this.long();
    if (typeof length === 'bigint' || length < 0) throw new MalformedRecord('a length in it is none');
    return length;
  }

  /** @returns up to four groups of 7 bits; `LOW` is added where more follow */
  #group(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return value + LOW;
  }
}
