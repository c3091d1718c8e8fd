const DAYS_TO_1970 = 719_468;
const DAYS_OF_400_YEARS = 146_097;

/** Days since 1970-01-01 of a date of the Gregorian calendar, from the year 0 on. */
export function daysOf(year: number, month: number, day: number): number {
  // Years begin in March here, so that the day that comes and goes is their last one.
  const from = month > 2 ? year : year - 1;
  const era = Math.floor(from / 400);
  const ofEra = from - era * 400;
  const ofYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  const inEra = ofEra * 365 + Math.floor(ofEra / 4) - Math.floor(ofEra / 100) + ofYear;
  return era * DAYS_OF_400_YEARS + inEra - DAYS_TO_1970;
}
