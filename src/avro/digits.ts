const ZERO = 0x30;
const MINUS = 0x2d;
/** As many digits are below 2^53. */
const EXACT_DIGITS = 15;

export function latin1(text: Uint8Array, start: number, end: number): string {
  return Buffer.from(text.buffer, text.byteOffset + start, end - start).toString('latin1');
}

/** @returns a number where that is exact, else a bigint; undefined for a text that is no integer */
export function wholeNumber(text: Uint8Array, start: number, end: number): number | bigint | undefined {
  const isNegative = text[start] === MINUS;
  const from = isNegative ? start + 1 : start;
  let value = 0;
  for (let at = from; at < end; at++) {
    const digit = (text[at] ?? 0) - ZERO;
    if (digit < 0 || digit > 9) return undefined;
    value = value * 10 + digit;
  }
  if (from === end) return undefined;
  if (end - from > EXACT_DIGITS) return BigInt(latin1(text, start, end));
  return isNegative ? -value : value;
}
