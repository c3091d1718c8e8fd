import type { LineBuffer } from '../pipeline/line-buffer.js';

const DASH = 0x2d;
const BLANK = 0x20;
const COLON = 0x3a;
const POINT = 0x2e;
const MICROSECONDS = 1_000_000;
const SECONDS_OF_A_DAY = 86_400;
const DAYS_TO_1970 = 719_468;
const DAYS_OF_400_YEARS = 146_097;

/** `2026-11-29`. @param days since 1970-01-01 */
export function writeDate(days: number, to: LineBuffer): void {
  const shifted = days + DAYS_TO_1970;
  const era = Math.floor(shifted / DAYS_OF_400_YEARS);
  const inEra = shifted - era * DAYS_OF_400_YEARS;
  const ofEra = Math.floor(
    (inEra - Math.floor(inEra / 1460) + Math.floor(inEra / 36_524) - Math.floor(inEra / 146_096)) / 365,
  );
  const ofYear = inEra - (365 * ofEra + Math.floor(ofEra / 4) - Math.floor(ofEra / 100));
  // Years begin in March here: see `daysOf`.
  const shiftedMonth = Math.floor((5 * ofYear + 2) / 153);
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9;
  to.digits(ofEra + era * 400 + (month <= 2 ? 1 : 0), 4);
  to.byte(DASH);
  to.digits(month, 2);
  to.byte(DASH);
  to.digits(ofYear - Math.floor((153 * shiftedMonth + 2) / 5) + 1, 2);
}

/** `2026-11-29 10:00:00.5`, with `+00` unless it is local. @param value microseconds since 1970 */
export function writeMoment(value: number | bigint, isLocal: boolean, to: LineBuffer): void {
  const [seconds, micros] = split(value);
  const days = Math.floor(seconds / SECONDS_OF_A_DAY);
  const rest = seconds - days * SECONDS_OF_A_DAY;
  writeDate(days, to);
  to.byte(BLANK);
  to.digits(Math.floor(rest / 3_600), 2);
  to.byte(COLON);
  to.digits(Math.floor(rest / 60) % 60, 2);
  to.byte(COLON);
  to.digits(rest % 60, 2);
  if (micros > 0) writeFraction(micros, to);
  if (!isLocal) to.text('+00');
}

function split(value: number | bigint): readonly [seconds: number, micros: number] {
  if (typeof value === 'number') {
    const seconds = Math.floor(value / MICROSECONDS);
    return [seconds, value - seconds * MICROSECONDS];
  }
  const unit = BigInt(MICROSECONDS);
  const micros = ((value % unit) + unit) % unit;
  return [Number((value - micros) / unit), Number(micros)];
}

/** As PostgreSQL prints it: without zeros at its end. */
function writeFraction(micros: number, to: LineBuffer): void {
  let digits = 6;
  let rest = micros;
  for (; rest % 10 === 0; rest /= 10) digits -= 1;
  to.byte(POINT);
  to.digits(rest, digits);
}
