import type { AvroType } from './avro-type.js';
import { daysOf } from './days.js';
import type { AvroOutput } from './output.js';
import { writeDecimal } from './write-decimal.js';
import { latin1, wholeNumber } from './digits.js';

/**
 * Writes a value from its COPY text.
 * @returns false for a text that is none of the type, such as the mark of a value without a place; what was written is void then
 */
export type WriteValue = (out: AvroOutput, text: Uint8Array, start: number, end: number) => boolean;

/** The most bytes that a value takes beside those of its text: 32 of a decimal that is written `0.1`, its length, its branch. */
export const MOST_MORE_BYTES = 40;

export function writeValueOf(type: AvroType): WriteValue {
  if (type.kind === 'decimal') return (out, text, start, end) => writeDecimal(out, text, start, end, type.scale);
  return WRITERS[type.kind];
}

const WRITERS: Readonly<Record<Exclude<AvroType['kind'], 'decimal'>, WriteValue>> = {
  boolean: writeBoolean,
  int: writeWhole,
  long: writeWhole,
  float: (out, text, start, end) => {
    out.float(Number(latin1(text, start, end)));
    return true;
  },
  double: (out, text, start, end) => {
    out.double(Number(latin1(text, start, end)));
    return true;
  },
  string: writeString,
  uuid: writeString,
  date: writeDate,
  moment: writeMoment,
};

const ZERO = 0x30;
const MINUS = 0x2d;
const POINT = 0x2e;
const BACKSLASH = 0x5c;
const TRUE = 0x74;
const DATE_LENGTH = 10;
const SECONDS_LENGTH = 19;
const MICROSECONDS = 1_000_000;
/** Above it a number of microseconds is written by way of a bigint: from the year 2112 on. */
const MOST_EXACT = 2 ** 52;

function writeBoolean(out: AvroOutput, text: Uint8Array, start: number): boolean {
  out.byte(text[start] === TRUE ? 1 : 0);
  return true;
}

function writeWhole(out: AvroOutput, text: Uint8Array, start: number, end: number): boolean {
  const value = wholeNumber(text, start, end);
  if (value === undefined) return false;
  if (typeof value === 'number') out.long(value);
  else out.bigLong(value);
  return true;
}

/** What COPY writes behind a backslash. */
const ESCAPES: Readonly<Record<number, number>> = { 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9, 0x76: 11 };

function writeString(out: AvroOutput, text: Uint8Array, start: number, end: number): boolean {
  let escapes = 0;
  for (let at = start; at < end; at++) {
    if (text[at] !== BACKSLASH) continue;
    escapes += 1;
    at += 1;
  }
  out.long(end - start - escapes);
  if (escapes === 0) {
    out.copy(text, start, end);
    return true;
  }
  for (let at = start; at < end; at++) {
    const byte = text[at] ?? 0;
    if (byte !== BACKSLASH) out.byte(byte);
    else {
      at += 1;
      const escaped = text[at] ?? BACKSLASH;
      out.byte(ESCAPES[escaped] ?? escaped);
    }
  }
  return true;
}

function writeDate(out: AvroOutput, text: Uint8Array, start: number, end: number): boolean {
  const days = end - start === DATE_LENGTH ? daysAt(text, start) : undefined;
  if (days === undefined) return false;
  out.long(days);
  return true;
}

/** `2026-11-29 10:00:00.5`, also with `+00`: the session is in UTC. */
function writeMoment(out: AvroOutput, text: Uint8Array, start: number, end: number): boolean {
  const days = daysAt(text, start);
  if (days === undefined || end - start < SECONDS_LENGTH) return false;
  const time = start + DATE_LENGTH + 1;
  const seconds = days * 86_400 + pair(text, time) * 3_600 + pair(text, time + 3) * 60 + pair(text, time + 6);
  let micros = 0;
  let at = start + SECONDS_LENGTH;
  if (text[at] === POINT) {
    at += 1;
    for (let unit = 100_000; unit >= 1; unit /= 10) {
      const digit = (at < end ? (text[at] ?? 0) : 0) - ZERO;
      if (digit < 0 || digit > 9) break;
      micros += digit * unit;
      at += 1;
    }
  }
  const value = seconds * MICROSECONDS + micros;
  if (Math.abs(value) < MOST_EXACT) out.long(value);
  else out.bigLong(BigInt(seconds) * BigInt(MICROSECONDS) + BigInt(micros));
  return true;
}

/** @returns undefined for a text that is no date with a year of four digits */
function daysAt(text: Uint8Array, start: number): number | undefined {
  const digit = (text[start] ?? 0) - ZERO;
  if (digit < 0 || digit > 9 || text[start + 4] !== MINUS) return undefined;
  return daysOf(pair(text, start) * 100 + pair(text, start + 2), pair(text, start + 5), pair(text, start + 8));
}

/** Two digits. */
function pair(text: Uint8Array, at: number): number {
  return ((text[at] ?? 0) - ZERO) * 10 + (text[at + 1] ?? 0) - ZERO;
}
