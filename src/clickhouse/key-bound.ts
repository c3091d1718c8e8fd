import { columnType } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalName, type Column } from '../domain/replicated-table.js';
import { rangeOf } from '../domain/types/numbers.js';
import { quoteText } from './names.js';

/** A key column beside a bound, as SQL of ClickHouse. Values that the bound lies between are greater or less, and none is equal. */
export interface BoundSql {
  readonly less: string;
  readonly equal: string;
  readonly greater: string;
}

/** @param text of the column in PostgreSQL, as that prints it */
type BoundOf = (text: string) => BoundSql;

/** PostgreSQL's texts whose order is that of their bytes under collation "C". */
const TEXTS: readonly string[] = ['text', 'character varying', 'name'];
const NUMBERS: readonly string[] = ['bigint', 'integer', 'smallint', 'numeric', 'oid', 'xid8'];
const MOMENTS: readonly string[] = ['timestamp without time zone', 'timestamp with time zone'];

/** Below and above everything that the column holds. */
const BELOW: BoundSql = { less: '0', equal: '0', greater: '1' };
const ABOVE: BoundSql = { less: '1', equal: '0', greater: '0' };

/** Whether PostgreSQL has to compare the column by its bytes, so that the order is that of ClickHouse. */
export function isText({ type }: Pick<Column, 'type'>): boolean {
  return TEXTS.includes(type);
}

/**
 * How ClickHouse compares a key column with bounds, in the order of PostgreSQL.
 * @returns undefined where its values have another order there
 */
export function boundOf(column: Column): BoundOf | undefined {
  const clickhouse = columnType(column).clickhouse(column);
  const name = quoteCh(physicalName(column));
  const isString = clickhouse === 'String' || clickhouse === 'LowCardinality(String)';
  const ofTexts: BoundOf = (text) => compared(name, quoteText(text));
  if (isText(column) && isString) return ofTexts;
  if (column.type === 'uuid') {
    // ClickHouse orders a UUID by its second half. The text has the order of the bytes.
    return isString ? ofTexts : (text) => compared(`toString(${name})`, quoteText(text));
  }
  if (column.type === 'boolean' && !isString) return (text) => compared(name, text.startsWith('t') ? '1' : '0');
  if (NUMBERS.includes(column.type)) return numberBound(name, clickhouse);
  if (column.type === 'date' && !isString)
    return (text) => momentBound(name, text, (value) => `toDate32(${quoteText(value)})`);
  if (MOMENTS.includes(column.type) && !isString)
    return (text) => momentBound(name, text, (value) => `toDateTime64(${quoteText(value)}, 6, 'UTC')`);
  return undefined;
}

function compared(column: string, bound: string): BoundSql {
  return { less: `${column} < ${bound}`, equal: `${column} = ${bound}`, greater: `${column} > ${bound}` };
}

/** Of numbers with `scale` digits after the point. */
interface Digits {
  readonly scale: number;
  /** Without the point, as is `highest`. */
  readonly lowest: bigint;
  readonly highest: bigint;
}

function digitsOf(clickhouse: string): Digits | undefined {
  const range = rangeOf(clickhouse);
  if (range !== undefined) return { ...range, scale: 0 };
  const found = /^Decimal\((\d+), *(\d+)\)$/u.exec(clickhouse);
  if (found === null) return undefined;
  const highest = 10n ** BigInt(found[1] ?? 0) - 1n;
  return { scale: Number(found[2]), lowest: -highest, highest };
}

/** The bound becomes a value of the column's own type, or the first one above it: a literal of another type may be rounded. */
function numberBound(column: string, clickhouse: string): BoundOf | undefined {
  const digits = digitsOf(clickhouse);
  if (digits === undefined) return undefined;
  const { scale, lowest, highest } = digits;
  return (text) => {
    const found = /^(-?)(\d+)(?:\.(\d+))?$/u.exec(text);
    if (found === null) return text.startsWith('-') ? BELOW : ABOVE;
    const [, sign, whole = '', fraction = ''] = found;
    const kept = BigInt(whole + fraction.slice(0, scale).padEnd(scale, '0'));
    const isExact = /^0*$/u.test(fraction.slice(scale));
    const value = sign === '-' ? -kept : kept + (isExact ? 0n : 1n);
    if (value > highest) return ABOVE;
    if (value < lowest) return BELOW;
    const next = `cast(${quoteText(pointed(value, scale))}, ${quoteText(clickhouse)})`;
    return isExact
      ? compared(column, next)
      : { less: `${column} < ${next}`, equal: '0', greater: `${column} >= ${next}` };
  };
}

function pointed(value: bigint, scale: number): string {
  if (scale === 0) return String(value);
  const digits = String(value < 0n ? -value : value).padStart(scale + 1, '0');
  return `${value < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** Of the widest types, to which ClickHouse converts the others without loss. What they do not hold is in no column. */
const FIRST_YEAR = 1900;
const LAST_YEAR = 2299;

function momentBound(column: string, text: string, literal: (value: string) => string): BoundSql {
  if (text === '-infinity' || text.endsWith(' BC')) return BELOW;
  const year = Number(/^\d+/u.exec(text)?.[0] ?? Infinity);
  if (year < FIRST_YEAR) return BELOW;
  if (year > LAST_YEAR) return ABOVE;
  return compared(column, literal(text.replace(/\+00$/u, '')));
}
