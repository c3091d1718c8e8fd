import { composeVersion } from '../../../domain/version.js';

const ZERO = 0x30;
/** `major` of a version counts in these. */
const STEP = String(1n << 64n);

/**
 * The versions of consecutive positions as decimal digits. Adding in decimal costs some 50 ns a row; printing a BigInt of 128 bits
 * costs ten times that.
 */
export class VersionDigits {
  /** The lowest digit first. */
  readonly #digits: number[];
  readonly #step = digitsOf(STEP);

  /** Stands at `first`. */
  constructor(generation: number, first: bigint, shape: number) {
    this.#digits = digitsOf(String(composeVersion(generation, first, BigInt(shape))));
  }

  get length(): number {
    return this.#digits.length;
  }

  /** @returns where they end */
  write(to: Buffer, at: number): number {
    const digits = this.#digits;
    for (let digit = digits.length - 1; digit >= 0; digit--) to[at++] = ZERO + (digits[digit] ?? 0);
    return at;
  }

  next(): void {
    const digits = this.#digits;
    const step = this.#step;
    let carry = 0;
    for (let digit = 0; digit < step.length || carry > 0; digit++) {
      const sum = (digits[digit] ?? 0) + (step[digit] ?? 0) + carry;
      carry = sum > 9 ? 1 : 0;
      digits[digit] = sum - 10 * carry;
    }
  }
}

/** @returns the lowest first */
function digitsOf(number: string): number[] {
  return number.split('').toReversed().map(Number);
}
