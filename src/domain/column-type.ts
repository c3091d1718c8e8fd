import type { Column, ReplicatedTable } from './replicated-table.js';

/** An SQL expression of PostgreSQL, given the (quoted) expression of a column. */
type Expression = (column: string) => string;

/**
 * How values of one PostgreSQL type are sent; each type has one entry in this table. Both ways (copy and drain) give ClickHouse the
 * same text, so a row that was copied and the same row read again from the outbox are equal.
 *
 * The expressions count on the session: TimeZone UTC, DateStyle ISO, extra_float_digits 1.
 */
export interface ColumnType {
  /** What `COPY (select ...)` prints for ClickHouse's TabSeparated. */
  readonly copy: Expression;
  /** What `copy` gives for a column that takes no NULL where there is no row: SQL. Nobody sees the values of a tombstone. */
  readonly absent: string;
  /** Text of the JSON of a value, for ClickHouse's JSONEachRow; NULL stays NULL. */
  readonly json: Expression;
  /** Of types that JSON has as a text without escapes: what stands between the quotes. It saves two concatenations a value. */
  readonly jsonText?: Expression;
  /** Equal exactly where the texts that we send are equal: what events are grouped and keys are joined by. */
  readonly image: Expression;
  /** The type of the target's column, Nullable where the column is. */
  readonly clickhouse: (column: Column) => string;
  /** Whether a key may hold it: floats have values that ClickHouse merges (-0 and 0, all NaN), JSON has no `=` of its own. */
  readonly key: boolean;
}

const same: Expression = (column) => column;
const text: Expression = (column) => `${column}::text`;
const quoted: Expression = (column) => `'"' || ${column}::text || '"'`;
const inQuotes = (jsonText: Expression): Pick<ColumnType, 'json' | 'jsonText'> => ({
  json: (column) => quoted(jsonText(column)),
  jsonText: (column) => text(jsonText(column)),
});
const escaped: Expression = (column) => `to_json(${column}::text)::text`;

/**
 * ClickHouse clamps a date outside 1900..2299 to the nearest one and says nothing. Such a value becomes `infinity`, which
 * ClickHouse refuses in both formats: the row is refused, never changed. Two comparisons cost nothing measurable, and the
 * value keeps its type, where a text in its place costs 10%. BC and the infinities of PostgreSQL are outside too.
 */
const within =
  (first: string, after: string): Expression =>
  (column) =>
    `case when ${column} < ${first} or ${column} >= ${after} then 'infinity' else ${column} end`;

const date = within(`date '1900-01-01'`, `date '2300-01-01'`);
const timestamp = within(`timestamp '1900-01-01'`, `timestamp '2300-01-01'`);
const timestamptz = within(`timestamptz '1900-01-01 00:00:00+00'`, `timestamptz '2300-01-01 00:00:00+00'`);

const as = (type: string) => (column: Column) => (column.nullable ? `Nullable(${type})` : type);

const bare = (clickhouse: string, absent = '0'): ColumnType => ({
  copy: same,
  absent,
  json: text,
  image: same,
  clickhouse: as(clickhouse),
  key: true,
});

const string: ColumnType = {
  copy: same,
  absent: `''`,
  json: escaped,
  // A nondeterministic collation calls 'a' and 'A' equal; ClickHouse does not.
  image: (column) => `${column} collate "C"`,
  clickhouse: as('String'),
  key: true,
};

/** NaN and the infinities are texts in JSON, which `to_json` knows. */
const float = (clickhouse: string): ColumnType => ({
  ...bare(clickhouse),
  json: (column) => `to_json(${column})::text`,
  key: false,
});

/** Not a number of JSON but its text: nothing on the way may read it as a double. NaN is refused by Decimal. */
const numeric: ColumnType = {
  copy: same,
  absent: '0',
  ...inQuotes(same),
  image: same,
  clickhouse: (column) => as(`Decimal(${column.precision}, ${column.scale})`)(column),
  key: true,
};

/** As text: a json value may hold raw newlines, which as a JSON string are escaped. */
const json: ColumnType = { ...string, copy: text, key: false };

/** `to_json` would print a `T` between date and time where COPY prints a blank. The target's zone is never the server's. */
const moment = (guarded: Expression): ColumnType => ({
  copy: guarded,
  absent: `'1970-01-01'`,
  ...inQuotes((column) => `(${guarded(column)})`),
  image: same,
  clickhouse: as(`DateTime64(6, 'UTC')`),
  key: true,
});

/** By `Column.type`. */
const COLUMN_TYPES: Readonly<Record<string, ColumnType>> = {
  bigint: bare('Int64'),
  integer: bare('Int32'),
  smallint: bare('Int16'),
  boolean: bare('Bool', 'false'),
  'double precision': float('Float64'),
  real: float('Float32'),
  numeric,
  text: string,
  'character varying': string,
  date: { ...bare('Date32', `'1970-01-01'`), copy: date, ...inQuotes((column) => `(${date(column)})`) },
  'timestamp without time zone': moment(timestamp),
  'timestamp with time zone': moment(timestamptz),
  uuid: { ...bare('UUID', `'00000000-0000-0000-0000-000000000000'`), ...inQuotes(same) },
  json,
  jsonb: json,
  // By its output function, as COPY does. A cast, which to_json looks for too, may be a function of the type's owner: it
  // could print what it likes, and would run as our role.
  enum: {
    ...bare('LowCardinality(String)', `''`),
    copy: (column) => `enum_out(${column})::text`,
    json: (column) => `to_json(enum_out(${column})::text)::text`,
    clickhouse: ({ nullable }) => (nullable ? 'LowCardinality(Nullable(String))' : 'LowCardinality(String)'),
  },
};

const MAX_PRECISION = 76;

/** @returns undefined for a type, or a precision, that has no faithful place in ClickHouse yet */
export function columnType(column: Column): ColumnType | undefined {
  if (column.type === 'numeric' && !fitsDecimal(column)) return undefined;
  return Object.hasOwn(COLUMN_TYPES, column.type) ? COLUMN_TYPES[column.type] : undefined;
}

/** numeric without precision has no bound, and since PostgreSQL 15 a scale may be negative or larger than the precision. */
function fitsDecimal({ precision, scale }: Column): boolean {
  return (
    precision !== undefined && scale !== undefined && precision <= MAX_PRECISION && scale >= 0 && scale <= precision
  );
}

/** Names of the two columns that every target has beside the user's. */
export const VERSION_COLUMN = '_version';
export const DELETED_COLUMN = '_deleted';

/**
 * The columns of the target in the order in which copies send them: the user's by position, then the version and the mark
 * of a tombstone.
 * @throws TypeError for a column that `columnType` does not know: such a table is refused when it is added
 */
export function targetColumns(table: Pick<ReplicatedTable, 'columns'>): { name: string; type: string }[] {
  return [
    ...byPosition(table.columns).map((column) => ({
      name: column.name,
      type: knownType(column).clickhouse(column),
    })),
    { name: VERSION_COLUMN, type: 'UInt128' },
    { name: DELETED_COLUMN, type: 'UInt8' },
  ];
}

export function byPosition(columns: readonly Column[]): Column[] {
  return columns.toSorted((a, b) => a.position - b.position);
}

/** @throws TypeError for a column whose type has no entry */
export function knownType(column: Column): ColumnType {
  const type = columnType(column);
  if (type === undefined) throw new TypeError(`column ${column.name} has the unsupported type ${column.type}`);
  return type;
}
