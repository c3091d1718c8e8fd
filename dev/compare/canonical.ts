import { quoteCh, quotePg } from '../../src/domain/identifier.js';

/** A column as the judge sees it: what PostgreSQL's own catalogue says, nothing of what pg2click made of it. */
export interface JudgedColumn {
  readonly name: string;
  /** `format_type(oid, null)` of what a domain is made of, or `enum`. */
  readonly type: string;
  /** In ClickHouse it is text: then the text that PostgreSQL prints is what counts. */
  readonly isText?: boolean;
}

/** One notation for a value, written twice. Its alphabet is that of hex digits, signs, dots and `NaN`: nothing to escape. */
interface Canonical {
  readonly postgres: (column: string) => string;
  readonly clickhouse: (column: string) => string;
  /** Back to what a person would recognise. */
  readonly show: (canonical: string) => string;
}

const asIs = (canonical: string): string => canonical;

const whole: Canonical = {
  postgres: (column) => `${column}::text`,
  clickhouse: (column) => `toString(${column})`,
  show: asIs,
};

/** Bytes: no collation, no escape, no trailing blank can hide a difference. */
const bytesOf = (print: (column: string) => string): Canonical => ({
  postgres: (column) => `upper(encode(convert_to(${print(column)}, 'UTF8'), 'hex'))`,
  clickhouse: (column) => `hex(toString(${column}))`,
  show: (canonical) => Buffer.from(canonical, 'hex').toString('utf8'),
});
const bytes = bytesOf((column) => `${column}::text`);
/** By the output function; of a row value with a NULL in it `is not null` is false. */
const printed = bytesOf((column) => `case when ${column} is distinct from null then concat(${column}) end`);

/** The bits of the number: neither side's printing takes part, and -0 is not 0. All NaN are one. */
const float = (bits: 32 | 64): Canonical => ({
  postgres: (column) =>
    `case when ${column} = 'NaN' then 'NaN' else upper(encode(float${bits / 8}send(${column}), 'hex')) end`,
  clickhouse: (column) =>
    `if(isNaN(${column}), 'NaN', leftPad(hex(reinterpretAsUInt${bits}(${column})), ${bits / 4}, '0'))`,
  show: asIs,
});

/** Microseconds since 1970 as a whole number. */
const moment: Canonical = {
  postgres: (column) => `(extract(epoch from ${column}) * 1000000)::bigint::text`,
  clickhouse: (column) => `toString(toUnixTimestamp64Micro(${column}))`,
  show: (canonical) => new Date(Number(BigInt(canonical) / 1_000n)).toISOString(),
};

const CANONICAL: Readonly<Record<string, Canonical>> = {
  bigint: whole,
  integer: whole,
  smallint: whole,
  uuid: whole,
  boolean: {
    postgres: (column) => `${column}::int::text`,
    clickhouse: (column) => `toString(toUInt8(${column}))`,
    show: asIs,
  },
  // ClickHouse prints no trailing zeros.
  numeric: {
    postgres: (column) => `trim_scale(${column})::text`,
    clickhouse: (column) => `toString(${column})`,
    show: asIs,
  },
  real: float(32),
  'double precision': float(64),
  date: {
    postgres: (column) => `(${column} - date '1970-01-01')::text`,
    clickhouse: (column) => `toString(toInt32(${column}))`,
    show: (canonical) => new Date(Number(canonical) * 86_400_000).toISOString().slice(0, 10),
  },
  'timestamp without time zone': moment,
  'timestamp with time zone': moment,
  text: bytes,
  'character varying': bytes,
  character: bytes,
  json: bytes,
  jsonb: bytes,
  enum: bytes,
  oid: whole,
  xid: whole,
  cid: whole,
  xid8: whole,
  money: {
    postgres: (column) => `trim_scale(${column}::numeric)::text`,
    clickhouse: (column) => `toString(${column})`,
    show: asIs,
  },
};

/** NULL. Hex has no `u` and no `l`, and an empty string is empty. */
const NULL = 'null';

/** Between the values of a row: in no canonical value. */
const SEPARATOR = '|';

/** SQL that gives the values of these columns as one text, in PostgreSQL. */
export function postgresText(columns: readonly JudgedColumn[]): string {
  const values = columns.map((column) => `coalesce(${canonicalOf(column).postgres(quotePg(column.name))}, '${NULL}')`);
  // A function takes 100 arguments at most.
  return `array_to_string(array[${values.join(', ')}]::text[], '${SEPARATOR}')`;
}

/** The same text, in ClickHouse. */
export function clickhouseText(columns: readonly JudgedColumn[]): string {
  const values = columns.map((column) => {
    const name = quoteCh(column.name);
    return `if(isNull(${name}), '${NULL}', ${canonicalOf(column).clickhouse(`assumeNotNull(${name})`)})`;
  });
  return values.length === 0 ? `''` : `concat('', ${values.join(`, '${SEPARATOR}', `)})`;
}

/** A key as a person would write it: `(AA, 12)`. */
export function showKey(key: readonly JudgedColumn[], canonical: string): string {
  const values = canonical.split(SEPARATOR);
  return `(${key.map((column, index) => canonicalOf(column).show(values[index] ?? '')).join(', ')})`;
}

function canonicalOf({ type, isText }: JudgedColumn): Canonical {
  const canonical = Object.hasOwn(CANONICAL, type) ? CANONICAL[type] : undefined;
  if (canonical === undefined) return printed;
  return isText === true ? bytes : canonical;
}
