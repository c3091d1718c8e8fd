import type { Span } from '../domain/change.js';

/** Digits of the largest bigint. */
const MOST_DIGITS = 20;

/** The highest of the decimal numbers that it was shown, as digits: none of them becomes a number or a string. */
export class Highest implements Span {
  readonly bytes = new Uint8Array(MOST_DIGITS);
  readonly start = 0;
  end = 0;

  show(digits: Span): void {
    if (!isHigher(digits, this)) return;
    this.end = digits.end - digits.start;
    for (let i = 0; i < this.end; i++) this.bytes[i] = digits.bytes[digits.start + i] ?? 0;
  }

  clear(): void {
    this.end = 0;
  }
}

/** Of numbers without leading zeros: a longer one is higher. */
function isHigher(a: Span, b: Span): boolean {
  const length = a.end - a.start;
  const difference = length - (b.end - b.start);
  if (difference !== 0) return difference > 0;
  for (let i = 0; i < length; i++) {
    const step = (a.bytes[a.start + i] ?? 0) - (b.bytes[b.start + i] ?? 0);
    if (step !== 0) return step > 0;
  }
  return false;
}
