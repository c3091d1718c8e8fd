import { latin1 } from './digits.js';
import type { AvroOutput } from './output.js';

const ZERO = 0x30;
const MINUS = 0x2d;
const POINT = 0x2e;
/** As many digits are below 2^53. */
const EXACT_DIGITS = 15;

/**
 * Avro's decimal: the number without its point, as the fewest bytes in two's complement, the highest first.
 * @param scale digits behind the point; the text has no other than zeros beyond them
 * @returns false for a text that is no number: NaN
 */
export function writeDecimal(out: AvroOutput, text: Uint8Array, start: number, end: number, scale: number): boolean {
  const isNegative = text[start] === MINUS;
  const from = isNegative ? start + 1 : start;
  if (!isDigit(text[from])) return false;
  let value = 0;
  let digits = 0;
  let behind = -1;
  for (let at = from; at < end && behind < scale; at++) {
    const byte = text[at] ?? 0;
    if (byte === POINT && behind === -1) {
      behind = 0;
      continue;
    }
    if (!isDigit(byte)) return false;
    value = value * 10 + byte - ZERO;
    if (behind >= 0) behind += 1;
    digits += 1;
  }
  const missing = scale - Math.max(behind, 0);
  if (digits + missing <= EXACT_DIGITS) writeExact(out, value * 10 ** missing, isNegative);
  else writeLarge(out, latin1(text, from, end), { scale, isNegative });
  return true;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= ZERO + 9;
}

/** Of a negative number the bytes are those of the magnitude less one, inverted. */
function writeExact(out: AvroOutput, magnitude: number, isNegative: boolean): void {
  const isInverted = isNegative && magnitude > 0;
  const bits = isInverted ? magnitude - 1 : magnitude;
  let length = 1;
  for (let bound = 0x80; bits >= bound; bound *= 0x100) length += 1;
  out.long(length);
  for (let unit = 0x100 ** (length - 1); unit >= 1; unit /= 0x100) {
    const byte = Math.floor(bits / unit) % 0x100;
    out.byte(isInverted ? 0xff - byte : byte);
  }
}

function writeLarge(
  out: AvroOutput,
  text: string,
  { scale, isNegative }: { readonly scale: number; readonly isNegative: boolean },
): void {
  const [whole = '', fraction = ''] = text.split('.');
  const magnitude = BigInt(whole + fraction.slice(0, scale).padEnd(scale, '0'));
  const isInverted = isNegative && magnitude > 0n;
  const bits = (isInverted ? magnitude - 1n : magnitude).toString(16);
  const even = bits.length % 2 === 0 ? bits : `0${bits}`;
  // The highest bit is the sign.
  const bytes = Buffer.from(Number.parseInt(even.slice(0, 2), 16) < 0x80 ? even : `00${even}`, 'hex');
  if (isInverted) for (let at = 0; at < bytes.length; at++) bytes[at] = 0xff - (bytes[at] ?? 0);
  out.long(bytes.length);
  out.copy(bytes, 0, bytes.length);
}
