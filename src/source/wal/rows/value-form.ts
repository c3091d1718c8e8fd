import { columnType } from '../../../domain/column-type.js';
import { takesNull, type Column } from '../../../domain/replicated-table.js';

/** How a value is written in JSON. `quoted`: a text that needs no escapes. */
export type JsonForm = 'bare' | 'boolean' | 'float' | 'quoted' | 'escaped';

/** Values that ClickHouse has no place for, told by their first bytes: such a row is read from the table, where the policy decides. */
export type Outside = 'moment' | 'number';

/** How the text of a value in the stream becomes what COPY and the JSON of a drain have in its place. */
export interface ValueForm {
  readonly json: JsonForm;
  readonly outside: Outside | undefined;
  /** `char(n)`: its text has no blanks at the end. */
  readonly isPadded: boolean;
  readonly takesNull: boolean;
  /** As COPY text: what a tombstone has in the place of the value. */
  readonly absent: string;
}

const BARE: readonly string[] = ['bigint', 'integer', 'smallint', 'oid', 'xid', 'cid', 'xid8'];
const FLOAT: readonly string[] = ['double precision', 'real'];
/** What COPY prints behind the day of a constant without a time. */
const MOMENT: Readonly<Record<string, string>> = {
  date: '',
  'timestamp without time zone': ' 00:00:00',
  'timestamp with time zone': ' 00:00:00+00',
};
/** Their text is not that of their output function, or depends on the session that prints it. */
const OTHER_TEXT: readonly string[] = ['money', 'xml'];

/**
 * @returns undefined for a column whose values only PostgreSQL can turn into what is sent: one with a type or a policy of the user's, and
 * types whose text is another one in the stream
 */
export function formOf(column: Column): ValueForm | undefined {
  const { type, clickhouse, policy } = column;
  if (clickhouse !== undefined || (policy !== undefined && policy !== 'refuse')) return undefined;
  if (OTHER_TEXT.includes(type) || type.startsWith('reg')) return undefined;
  const { outside, absent } = columnType(column);
  const form = { isPadded: type === 'character', takesNull: takesNull(column), absent: textOf(absent) };
  const midnight = MOMENT[type];
  if (midnight !== undefined)
    return { ...form, absent: `${form.absent}${midnight}`, json: 'quoted', outside: 'moment' };
  // Its only value without a place is NaN.
  if (type === 'numeric' && outside !== undefined) return { ...form, json: 'quoted', outside: 'number' };
  if (outside !== undefined) return undefined;
  return { ...form, json: jsonOf(type), outside: undefined };
}

function jsonOf(type: string): JsonForm {
  if (BARE.includes(type)) return 'bare';
  if (FLOAT.includes(type)) return 'float';
  if (type === 'boolean') return 'boolean';
  return type === 'uuid' ? 'quoted' : 'escaped';
}

/** The SQL of a constant as COPY prints its value. */
function textOf(sql: string): string {
  if (sql === 'false') return 'f';
  return sql.startsWith(`'`) ? sql.slice(1, -1) : sql;
}

const ZERO = 0x30;
const ONE = 0x31;
const TWO = 0x32;
const NINE = 0x39;
const DASH = 0x2d;
const BLANK = 0x20;
/** `YYYY-MM-DD`, and the longest time with a zone in UTC. */
const DATE_BYTES = 10;
const MOMENT_BYTES = 29;

/**
 * Whether a value has a place. Of moments: the years 1900 to 2299, BC and the infinities left out. It may say no of one that has: its row
 * is read from the table.
 */
export function isInside(outside: Outside, bytes: Buffer, start: number, end: number): boolean {
  const first = bytes[start] ?? 0;
  if (outside === 'number') return first === DASH || (first >= ZERO && first <= NINE);
  const length = end - start;
  if (length < DATE_BYTES || length > MOMENT_BYTES || bytes[start + 4] !== DASH) return false;
  const second = bytes[start + 1] ?? 0;
  const isCentury = first === ONE ? second === NINE : first === TWO && second >= ZERO && second <= TWO;
  // ` BC` is at the end.
  return isCentury && bytes[end - 3] !== BLANK;
}
