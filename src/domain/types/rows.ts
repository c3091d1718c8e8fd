import type { Column } from '../replicated-table.js';
import { asText, bare, float, inQuotes, printed, same, string } from './expressions.js';
import { debeziumBytes, debeziumTime } from './debezium.js';
import { chooseDate, chooseMoment, date32, dateTime64 } from './moments.js';
import { chooseMoney, chooseNumeric, chooseWhole, chooseWider, money, placeOfNumeric } from './numbers.js';
import type { Identity, Place, TypeRow } from './type.js';

/** Equal for `=` exactly where they are printed alike. */
const KEY: Identity = { key: true, image: same };
const NO_KEY: Identity = { key: false, image: same };
/** A nondeterministic collation calls 'a' and 'A' equal; ClickHouse does not. */
const TEXT_KEY: Identity = { key: true, image: (column) => `${column} collate "C"` };

const always = (place: Place) => (): Place => place;

const whole = (name: string, clickhouse: string): TypeRow => ({
  ...KEY,
  names: [name],
  place: always(bare(clickhouse)),
  text: asText,
  choose: chooseWhole(clickhouse),
  choices: 'any `Int` or `UInt`, `Decimal(p, s)`',
  remarks: '',
});

/** A number for ClickHouse, and none for PostgreSQL. */
const identifier = (name: string, clickhouse: string, identity = KEY): TypeRow => ({
  ...identity,
  names: [name],
  place: always(bare(clickhouse, `'0'`)),
  text: asText,
  choose: chooseWider(clickhouse),
  choices: 'a wider `Int` or `UInt`',
  remarks: '',
});

const moment = (name: string, short: 'timestamp' | 'timestamptz', remarks: string): TypeRow => ({
  ...KEY,
  names: [name],
  place: always(dateTime64(short)),
  text: asText,
  choose: chooseMoment(short),
  choices:
    short === 'timestamp'
      ? "`DateTime64(0 to 8, 'UTC')`, `DateTime('UTC')`"
      : "`DateTime64(0 to 8, 'zone')`, `DateTime('zone')`",
  remarks,
});

/** Stored as the text that PostgreSQL prints. */
const exactText = (names: readonly string[], remarks: string, identity = NO_KEY, text = printed): TypeRow => ({
  ...identity,
  names,
  place: always(string(text)),
  text,
  remarks,
});

const enumeration = (name: string, identity: Identity, remarks: string): TypeRow => ({
  ...identity,
  names: [name],
  place: always(string(printed, printed, 'LowCardinality(String)')),
  text: printed,
  remarks,
});

/** As text: a json value may hold raw newlines, which as a JSON string are escaped. */
const json = exactText(
  ['json', 'jsonb'],
  'the text as PostgreSQL prints it, so a number of any size and a JSON `null` stay what they are',
  NO_KEY,
  asText,
);

/** Every type of PostgreSQL that has a row of its own. Two types may share one. */
export const TYPE_ROWS: readonly TypeRow[] = [
  whole('bigint', 'Int64'),
  whole('integer', 'Int32'),
  whole('smallint', 'Int16'),
  {
    ...KEY,
    names: ['boolean'],
    place: always(bare('Bool', 'false')),
    text: asText,
    choose: (wanted) => (wanted === 'UInt8' ? { ...bare(wanted), value: (column) => `${column}::int` } : undefined),
    choices: '`UInt8`',
    remarks: '',
  },
  {
    ...NO_KEY,
    names: ['double precision'],
    place: always(float('Float64')),
    text: asText,
    remarks: 'NaN, both infinities and -0 too',
  },
  {
    ...NO_KEY,
    names: ['real'],
    place: always(float('Float32')),
    text: asText,
    remarks: 'NaN, both infinities and -0 too',
  },
  {
    ...KEY,
    names: ['numeric'],
    place: placeOfNumeric,
    text: asText,
    choose: chooseNumeric,
    choices: '`Decimal(p, s)`, any `Int` or `UInt`',
    remarks:
      '`numeric(p,s)` of up to 76 digits is a `Decimal`, with a negative scale and one above the precision too. Without a precision, or with more digits, it is the exact text',
  },
  {
    ...KEY,
    names: ['money'],
    key: false,
    place: always(money),
    text: (column) => `${column}::numeric::text`,
    choose: chooseMoney,
    choices: '`Decimal(p, s)`',
    remarks: 'the amount without its currency; `lc_monetary` of the database says how many digits are after the point',
  },
  {
    ...TEXT_KEY,
    names: ['text', 'character varying', 'name'],
    place: always(string(asText, same)),
    text: asText,
    remarks: '',
  },
  exactText(
    ['character'],
    "without the blanks at its end, as PostgreSQL turns `char(n)` into text: it calls them insignificant, and in ClickHouse `code = 'AA'` would find nothing with them",
    { key: true, image: (column) => `${column}::text collate "C"` },
    asText,
  ),
  exactText(['"char"'], 'one byte', KEY),
  {
    ...exactText(['bytea'], 'hex digits after `\\x`: `unhex(substring(c, 3))` are the bytes', KEY),
    place: always({ ...string(printed), debezium: debeziumBytes }),
  },
  {
    ...KEY,
    names: ['date'],
    place: always(date32),
    text: asText,
    choose: chooseDate,
    choices: '`Date32`, `Date`',
    remarks: '1900-01-01 to 2299-12-31',
  },
  moment('timestamp without time zone', 'timestamp', '1900 to 2299, every microsecond'),
  moment('timestamp with time zone', 'timestamptz', '1900 to 2299, every microsecond; the instant, shown in UTC'),
  {
    ...exactText(['time without time zone'], 'also 24:00:00', KEY),
    place: always({ ...string(printed), debezium: debeziumTime }),
  },
  exactText(['time with time zone'], 'with its own offset', KEY),
  exactText(['interval'], "under `IntervalStyle = 'postgres'`: `1 mon` and `30 days` stay apart"),
  {
    ...KEY,
    names: ['uuid'],
    place: always({ ...bare('UUID', `'00000000-0000-0000-0000-000000000000'`), ...inQuotes(same) }),
    text: asText,
    remarks: '',
  },
  json,
  enumeration('enum', KEY, 'the label; new labels need nothing'),
  // PostgreSQL has no `=` of one with its base type.
  enumeration('domain over enum', NO_KEY, 'the label'),
  exactText(['bit', 'bit varying'], 'its digits', KEY),
  exactText(['inet', 'cidr', 'macaddr', 'macaddr8'], 'an `inet` without a mask has none', KEY),
  exactText(['xml'], 'without the encoding of its declaration, as PostgreSQL prints it'),
  exactText(['tsvector', 'tsquery', 'jsonpath'], ''),
  exactText(
    ['point', 'line', 'lseg', 'box', 'path', 'polygon', 'circle'],
    'as many digits as make the same numbers again',
  ),
  identifier('oid', 'UInt32'),
  identifier('xid', 'UInt32', NO_KEY),
  identifier('cid', 'UInt32', NO_KEY),
  identifier('xid8', 'UInt64'),
  exactText(['pg_lsn', 'tid'], '', KEY),
  exactText(['pg_snapshot', 'txid_snapshot'], ''),
  exactText(
    [
      'regclass',
      'regcollation',
      'regconfig',
      'regdictionary',
      'regnamespace',
      'regoper',
      'regoperator',
      'regproc',
      'regprocedure',
      'regrole',
      'regtype',
    ],
    'the name at the moment of reading: renaming what it names changes no row',
  ),
];

const BY_NAME: ReadonlyMap<string, TypeRow> = new Map(
  TYPE_ROWS.flatMap((row) => row.names.map((name) => [name, row] as const)),
);

/**
 * Everything else: arrays, ranges, composite types, types of extensions. A base type that an index can tell apart may be a key; two
 * values may be `=` and have two texts (citext), so the text decides.
 */
const OTHER: TypeRow = exactText([], '');

/** numeric(p,s) prints every value with s digits; without a scale 1.0 and 1.00 are `=`. */
const NUMERIC_TEXT: Identity = { key: true, image: asText, textImage: true };

export function rowOf(column: Column): TypeRow {
  const row = BY_NAME.get(column.type);
  if (row === undefined)
    return column.equals === undefined
      ? OTHER
      : { ...OTHER, key: true, image: printed, textImage: true, equals: column.equals };
  return column.type === 'numeric' && column.scale === undefined ? { ...row, ...NUMERIC_TEXT } : row;
}
