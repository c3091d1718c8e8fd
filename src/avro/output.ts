import type { Span } from '../domain/change.js';
import { copyInto, grow } from '../kafka/protocol/bytes.js';

const FIRST_BYTES = 4 * 1024;
/** Four groups of 7 bits: what lies above is written apart, so that each part is an integer of 32 bits. */
const LOW = 0x1000_0000;

/** Bytes of one record in Avro's encoding, written over by the next one. Who writes has made room first. */
export class AvroOutput {
  #bytes: Buffer<ArrayBuffer> = Buffer.allocUnsafe(FIRST_BYTES);
  /** Where the next byte goes. */
  at = 0;

  /** @param more bytes that are about to be written */
  make(more: number): void {
    this.#bytes = grow(this.#bytes, this.at, more);
  }

  span(): Span {
    return { bytes: this.#bytes, start: 0, end: this.at };
  }

  byte(value: number): void {
    this.#bytes[this.at++] = value;
  }

  uint32(value: number): void {
    this.at = this.#bytes.writeUInt32BE(value, this.at);
  }

  float(value: number): void {
    this.at = this.#bytes.writeFloatLE(value, this.at);
  }

  double(value: number): void {
    this.at = this.#bytes.writeDoubleLE(value, this.at);
  }

  copy(source: Uint8Array, start: number, end: number): void {
    this.at = copyInto(this.#bytes, this.at, { bytes: source, start, end });
  }

  /** With its length in front. */
  text(text: string): void {
    const bytes = Buffer.from(text);
    this.make(bytes.length + 10);
    this.long(bytes.length);
    this.copy(bytes, 0, bytes.length);
  }

  /** @param value an integer whose magnitude is below 2^52 */
  long(value: number): void {
    const zigzag = value >= 0 ? value * 2 : -value * 2 - 1;
    if (zigzag < LOW) return this.#varint(zigzag);
    const high = Math.floor(zigzag / LOW);
    let low = zigzag - high * LOW;
    for (let group = 0; group < 4; group++) {
      this.#bytes[this.at++] = (low & 0x7f) | 0x80;
      low >>>= 7;
    }
    this.#varint(high);
  }

  bigLong(value: bigint): void {
    let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n));
    for (; rest > 0x7fn; rest >>= 7n) this.#bytes[this.at++] = Number(rest & 0x7fn) | 0x80;
    this.#bytes[this.at++] = Number(rest);
  }

  #varint(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) this.#bytes[this.at++] = (rest & 0x7f) | 0x80;
    this.#bytes[this.at++] = rest;
  }
}
