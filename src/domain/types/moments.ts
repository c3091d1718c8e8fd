import { inQuotes, same } from './expressions.js';
import { debeziumDate, debeziumTimestamp, debeziumZoned } from './debezium.js';
import type { Expression, Outside, Place } from './type.js';

/** A ClickHouse type for points in time. Both ends are in it. */
interface Span {
  readonly clickhouse: string;
  readonly first: string;
  readonly last: string;
  /** Digits of a fraction of a second. */
  readonly digits: number;
}

const DATE32: Span = { clickhouse: 'Date32', first: '1900-01-01', last: '2299-12-31', digits: 0 };
const DATE: Span = { clickhouse: 'Date', first: '1970-01-01', last: '2149-06-06', digits: 0 };
const DATETIME64 = { first: '1900-01-01 00:00:00', last: '2299-12-31 23:59:59.999999' } as const;
const DATETIME = { first: '1970-01-01 00:00:00', last: '2106-02-07 06:28:15', digits: 0 } as const;

/** Digits that PostgreSQL has. */
const MICROSECONDS = 6;

type SourceType = 'date' | 'timestamp' | 'timestamptz';

/**
 * ClickHouse clamps a date outside 1900..2299 to the nearest one and says nothing. Under the policy `refuse` such a value becomes
 * `infinity`, which ClickHouse refuses in both formats: the row is refused, never changed. Two comparisons cost nothing
 * measurable, and the value keeps its type, where a text in its place costs 10%. BC and the infinities are outside too.
 */
function outsideOf(type: SourceType, { first, last, digits }: Span): Outside {
  const zone = type === 'timestamptz' ? '+00' : '';
  const bound = (text: string): string => `${type} '${text}${zone}'`;
  const isFiner = type !== 'date' && digits < MICROSECONDS;
  const rounded: Expression = isFiner ? (column) => `${column}::${type}(${digits})` : same;
  const finer: Expression = (column) => (isFiner ? ` or ${column} <> ${rounded(column)}` : '');
  return {
    when: (column) => `${column} < ${bound(first)} or ${column} > ${bound(last)}${finer(column)}`,
    nearest: (column) => `least(greatest(${rounded(column)}, ${bound(first)}), ${bound(last)})`,
    mark: `'infinity'`,
    words: `values before ${first}, after ${last} or infinite${isFiner ? `, or with more than ${digits} digits of a second` : ''}`,
  };
}

function placeOf(type: SourceType, span: Span): Place {
  return {
    clickhouse: span.clickhouse,
    absent: `'1970-01-01'`,
    copy: same,
    // `to_json` would print a `T` between date and time where COPY prints a blank.
    ...inQuotes(same),
    outside: outsideOf(type, span),
  };
}

export const date32: Place = { ...placeOf('date', DATE32), debezium: debeziumDate };

/** The target's zone is never the server's. */
export const dateTime64 = (type: 'timestamp' | 'timestamptz'): Place => ({
  ...placeOf(type, { ...DATETIME64, clickhouse: `DateTime64(6, 'UTC')`, digits: MICROSECONDS }),
  debezium: type === 'timestamp' ? debeziumTimestamp : debeziumZoned,
});

export function chooseDate(wanted: string): Place | undefined {
  if (wanted === 'Date32') return date32;
  return wanted === 'Date' ? placeOf('date', DATE) : undefined;
}

/** Above this, DateTime64 ends before 2299. */
const MOST_DIGITS = 8;

/**
 * A value without a zone is read in that of the column, so there it has to be UTC: in another one, an hour of each spring has no
 * place, and one of each autumn two.
 */
export const chooseMoment =
  (type: 'timestamp' | 'timestamptz') =>
  (wanted: string): Place | undefined => {
    const found = /^(?:DateTime64\((?<digits>\d), *|DateTime\()'(?<zone>[\w/+-]+)'\)$/u.exec(wanted)?.groups;
    if (found === undefined || (type === 'timestamp' && found['zone'] !== 'UTC')) return undefined;
    if (found['digits'] === undefined) return placeOf(type, { ...DATETIME, clickhouse: wanted });
    const digits = Number(found['digits']);
    return digits > MOST_DIGITS ? undefined : placeOf(type, { ...DATETIME64, clickhouse: wanted, digits });
  };
