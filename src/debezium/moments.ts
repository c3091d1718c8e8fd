import type { ValueReader } from './column-reader.js';

const DAY_MS = 86_400_000;
/** Outside of these a policy decides, which PostgreSQL carries out: the infinities are numbers far outside. */
const FIRST_DAY = Date.UTC(1900, 0, 1) / DAY_MS;
const LAST_DAY = Date.UTC(2299, 11, 31) / DAY_MS;
const MICROS_A_DAY = BigInt(DAY_MS) * 1_000n;
const FIRST_MICROS = BigInt(FIRST_DAY) * MICROS_A_DAY;
const AFTER_MICROS = BigInt(LAST_DAY + 1) * MICROS_A_DAY;

const WHOLE = /^-?\d+$/u;
const ZONED = /^"(\d{4})(-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d{1,6})?)Z"$/u;

/** Days since 1970. */
export const readDate: ValueReader = (bytes, start, end, out) => {
  const days = Number(bytes.toString('latin1', start, end));
  if (!Number.isInteger(days) || days < FIRST_DAY || days > LAST_DAY) return false;
  out.text(`"${dayOf(days)}"`);
  return true;
};

/** Microseconds since 1970, without a zone. */
export const readMicros: ValueReader = (bytes, start, end, out) => {
  const digits = bytes.toString('latin1', start, end);
  if (!WHOLE.test(digits)) return false;
  const moment = printMicros(BigInt(digits));
  if (moment === undefined) return false;
  out.text(`"${moment}"`);
  return true;
};

/** Milliseconds since 1970, without a zone. */
export const readMillis: ValueReader = (bytes, start, end, out) => {
  const digits = bytes.toString('latin1', start, end);
  if (!WHOLE.test(digits)) return false;
  const moment = printMicros(BigInt(digits) * 1_000n);
  if (moment === undefined) return false;
  out.text(`"${moment}"`);
  return true;
};

/** ISO 8601 in UTC. */
export const readZoned: ValueReader = (bytes, start, end, out) => {
  const found = ZONED.exec(bytes.toString('latin1', start, end));
  if (found === null) return false;
  const [, year = '', day = '', time = ''] = found;
  if (year < '1900' || year > '2299') return false;
  out.text(`"${year}${day} ${time}+00"`);
  return true;
};

/** Of a day, without a zone. @param unit microseconds */
export function readTime(unit: bigint): ValueReader {
  return (bytes, start, end, out) => {
    const digits = bytes.toString('latin1', start, end);
    if (!WHOLE.test(digits)) return false;
    const micros = BigInt(digits) * unit;
    if (micros < 0n || micros > MICROS_A_DAY) return false;
    out.text(`"${clockOf(Number(micros))}"`);
    return true;
  };
}

function printMicros(micros: bigint): string | undefined {
  if (micros < FIRST_MICROS || micros >= AFTER_MICROS) return undefined;
  const since = micros - FIRST_MICROS;
  return `${dayOf(FIRST_DAY + Number(since / MICROS_A_DAY))} ${clockOf(Number(since % MICROS_A_DAY))}`;
}

/** Most rows that come together have the same days. */
let known = { days: 0, text: '1970-01-01' };

function dayOf(days: number): string {
  if (known.days !== days) known = { days, text: new Date(days * DAY_MS).toISOString().slice(0, 10) };
  return known.text;
}

/** As PostgreSQL prints it: no zeros at the end of a fraction. */
function clockOf(micros: number): string {
  const seconds = Math.floor(micros / 1_000_000);
  const parts = [Math.floor(seconds / 3_600), Math.floor(seconds / 60) % 60, seconds % 60];
  const fraction = micros % 1_000_000;
  const tail = fraction === 0 ? '' : `.${String(fraction).padStart(6, '0').replace(/0+$/u, '')}`;
  return `${parts.map((part) => String(part).padStart(2, '0')).join(':')}${tail}`;
}
