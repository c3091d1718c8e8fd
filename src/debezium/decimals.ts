import type { ValueReader } from './column-reader.js';

const QUOTE = 0x22;

/** Bytes of an integer, the highest first, in base64: Connect's Decimal. @param scale digits after the point */
export function readDecimal(scale: number): ValueReader {
  return (bytes, start, end, out) => {
    if (bytes[start] !== QUOTE) return false;
    const unscaled = Buffer.from(bytes.toString('latin1', start + 1, end - 1), 'base64');
    if (unscaled.length === 0) return false;
    out.text(`"${printDecimal(integerOf(unscaled), scale)}"`);
    return true;
  };
}

/** `decimal.handling.mode=string`. @param scale digits after the point: a text with other ones is not that of PostgreSQL */
export function readDecimalText(scale: number): ValueReader {
  const exact = scale === 0 ? /^"-?\d+"$/u : new RegExp(`^"-?\\d+\\.\\d{${scale}}"$`, 'u');
  return (bytes, start, end, out) => {
    if (!exact.test(bytes.toString('latin1', start, end))) return false;
    out.bytes(bytes, start, end);
    return true;
  };
}

/** Two's complement. */
function integerOf(bytes: Buffer): bigint {
  const unsigned = BigInt(`0x${bytes.toString('hex')}`);
  return BigInt.asIntN(bytes.length * 8, unsigned);
}

function printDecimal(unscaled: bigint, scale: number): string {
  const sign = unscaled < 0n ? '-' : '';
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  if (scale === 0) return `${sign}${digits}`;
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}
