import type { Column } from '../replicated-table.js';
import { asText, bare, inQuotes, same, string } from './expressions.js';
import type { Expression, Outside, Place } from './type.js';

/** Digits of ClickHouse's largest Decimal. */
const MAX_PRECISION = 76;

/** As a numeric: Decimal and integers refuse to read it. */
const NOT_A_NUMBER = `'NaN'`;

const asNumeric: Expression = (column) => `${column}::numeric`;

interface Digits {
  readonly precision: number;
  readonly scale: number;
}

/**
 * The digits that hold every number of a numeric(p,s); undefined where there is no bound, or too many. Since PostgreSQL 15 a scale
 * may be negative (digits before the point are rounded off) or larger than the precision.
 */
function digitsOf({ precision, scale }: Column): Digits | undefined {
  if (precision === undefined || scale === undefined) return undefined;
  const digits =
    scale < 0 ? { precision: precision - scale, scale: 0 } : { precision: Math.max(precision, scale), scale };
  return digits.precision > MAX_PRECISION ? undefined : digits;
}

/** Not a number of JSON but its text: nothing on the way may read it as a double. */
function decimal({ precision, scale }: Digits, outside: Outside): Place {
  return { clickhouse: `Decimal(${precision}, ${scale})`, absent: '0', copy: same, ...inQuotes(same), outside };
}

/** A numeric with a bound has one value that is no number; ClickHouse refuses it by itself. */
const ONLY_NAN: Outside = { when: (number) => `${number} = ${NOT_A_NUMBER}`, words: 'NaN' };

export function placeOfNumeric(column: Column): Place {
  const digits = digitsOf(column);
  return digits === undefined ? string(asText) : decimal(digits, ONLY_NAN);
}

/** @param has digits that hold every number of the source; undefined where none do */
function chooseDecimal(wanted: string, has: Digits | undefined): Place | undefined {
  const found = /^Decimal\((\d+), *(\d+)\)$/u.exec(wanted);
  if (found === null) return undefined;
  const digits = { precision: Number(found[1]), scale: Number(found[2]) };
  const { precision, scale } = digits;
  if (precision === 0 || precision > MAX_PRECISION || scale > precision) return undefined;
  const isWide = has !== undefined && scale >= has.scale && precision - scale >= has.precision - has.scale;
  return decimal(digits, isWide ? ONLY_NAN : outsideDigits(digits));
}

/** NaN and the infinities are larger than every bound. ClickHouse would cut digits off and say nothing. */
function outsideDigits({ precision, scale }: Digits): Outside {
  const bound = `1e${precision - scale}`;
  const largest = `(${bound} - 1e-${scale})`;
  return {
    when: (number) => `${number} <> trunc(${number}, ${scale}) or abs(${number}) >= ${bound}`,
    nearest: (number) => nearestNumber(number, `round(${number}, ${scale})`, [`-${largest}`, largest]),
    mark: NOT_A_NUMBER,
    words: `NaN, infinities, and numbers with more than ${precision - scale} digits before the point or ${scale} after it`,
  };
}

/** No number is near NaN. */
function nearestNumber(number: string, rounded: string, [lowest, highest]: readonly [string, string]): string {
  return `case when ${number} = ${NOT_A_NUMBER} then ${number} else least(greatest(${rounded}, ${lowest}), ${highest}) end`;
}

export interface Range {
  readonly lowest: bigint;
  readonly highest: bigint;
}

/** What an integer type of ClickHouse holds; undefined for any other type. */
export function rangeOf(clickhouse: string): Range | undefined {
  const found = /^(?<unsigned>U?)Int(?<bits>8|16|32|64|128|256)$/u.exec(clickhouse)?.groups;
  if (found === undefined) return undefined;
  const bits = BigInt(found['bits'] ?? 0);
  if (found['unsigned'] === 'U') return { lowest: 0n, highest: 2n ** bits - 1n };
  return { lowest: -(2n ** (bits - 1n)), highest: 2n ** (bits - 1n) - 1n };
}

/** Numbers of JSON up to 64 bits, as they always were; wider ones are texts, which no consumer reads as doubles. */
function whole(clickhouse: string): Place {
  const isWide = /128|256/u.test(clickhouse);
  return isWide ? { clickhouse, absent: '0', copy: same, ...inQuotes(same) } : bare(clickhouse);
}

/** NaN, the mark, is a text in JSON, which `to_json` knows: a bare one would make the row no JSON for anybody. */
function marked(place: Place): Place {
  return place.jsonText === undefined ? { ...place, json: (number) => `to_json(${number})::text` } : place;
}

/** For a type that is no number for PostgreSQL. @param own the integer type of ClickHouse that has just its range */
export const chooseWider =
  (own: string) =>
  (wanted: string): Place | undefined => {
    const [has, range] = [rangeOf(own), rangeOf(wanted)];
    if (has === undefined || range === undefined) return undefined;
    return range.lowest <= has.lowest && range.highest >= has.highest ? whole(wanted) : undefined;
  };

/** @param own the integer type of ClickHouse that has just the range of the PostgreSQL type */
export const chooseWhole =
  (own: string) =>
  (wanted: string): Place | undefined => {
    const [has, range] = [rangeOf(own), rangeOf(wanted)];
    if (has === undefined) return undefined;
    if (range === undefined) {
      const place = chooseDecimal(wanted, { precision: String(has.highest).length, scale: 0 });
      return place === undefined ? undefined : { ...place, value: asNumeric };
    }
    const wider = chooseWider(own)(wanted);
    if (wider !== undefined) return wider;
    const { lowest, highest } = range;
    const outside: Outside = {
      when: (number) => `${number} < ${lowest} or ${number} > ${highest}`,
      nearest: (number) => `least(greatest(${number}, ${lowest}), ${highest})`,
      mark: NOT_A_NUMBER,
      words: `numbers below ${lowest} or above ${highest}`,
    };
    // Of a type that has NaN, to mark a number by.
    return { ...marked(whole(wanted)), value: asNumeric, outside };
  };

export function chooseNumeric(wanted: string, column: Column): Place | undefined {
  const range = rangeOf(wanted);
  if (range === undefined) return chooseDecimal(wanted, digitsOf(column));
  const { lowest, highest } = range;
  const place = marked(whole(wanted));
  // As an integer is printed: without the digits after the point, which are zeros here.
  const integer: Expression = (number) => `trunc(${number})`;
  return {
    ...place,
    copy: integer,
    json: (number) => place.json(integer(number)),
    ...(place.jsonText === undefined ? {} : inQuotes(integer)),
    outside: {
      when: (number) => `${number} <> trunc(${number}) or ${number} < ${lowest} or ${number} > ${highest}`,
      nearest: (number) => nearestNumber(number, `round(${number})`, [String(lowest), String(highest)]),
      mark: NOT_A_NUMBER,
      words: `NaN, infinities, fractions, and numbers below ${lowest} or above ${highest}`,
    },
  };
}

/**
 * As a number: its text has the currency and the separators of `lc_monetary`. How many digits are after the point is a matter of the
 * locale too; none has more than 4.
 */
export const money: Place = {
  ...decimal(
    { precision: 23, scale: 4 },
    {
      ...outsideDigits({ precision: 23, scale: 4 }),
      words: 'amounts in a locale with more than 4 digits after the point: none is known',
    },
  ),
  value: asNumeric,
};

export function chooseMoney(wanted: string): Place | undefined {
  const place = chooseDecimal(wanted, undefined);
  return place === undefined ? undefined : { ...place, value: asNumeric };
}
