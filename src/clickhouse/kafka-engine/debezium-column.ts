import { PLACEHOLDER } from '../../debezium/column-reader.js';
import { hasOwnPlace, isExtensionText, isTextType } from '../../debezium/own-place.js';
import { columnType } from '../../domain/column-type.js';
import type { Column } from '../../domain/replicated-table.js';
import { rangeOf } from '../../domain/types/numbers.js';
import { quoteText } from '../names.js';

/** What is used more than once is computed once, in a query around that of what it follows from: ClickHouse would take an alias apart wherever it is used. */
export interface DebeziumStep {
  /** From 1: how many steps it follows from. */
  readonly level: number;
  /** `expression as alias` */
  readonly sql: string;
}

/** SQL of ClickHouse that reads a column from a message of Debezium. */
export interface DebeziumColumn {
  /** In the order in which they follow from each other. */
  readonly steps: readonly DebeziumStep[];
  /** The JSON of the field; empty where it is missing. */
  readonly raw: string;
  /** What the schema says of it; empty without one. */
  readonly described: string;
  /** The value; NULL where the message does not hold it exactly, and for null. */
  readonly value: string;
}

/** Of a row: the JSON of each field, by its name. */
export const ROW = '_kafka_row';
/** Of a message with a schema: what it says of each field, by its name, as `describedType` prints it. */
export const TYPES = '_kafka_types';

/** SQL of what a schema says of a field: its type, its meaning and its scale. */
export const describedType = (field: string): string =>
  `trimRight(concat(${field}.type, ' ', ${field}.name, ' ', ${field}.parameters.scale))`;

const DECIMAL = 'bytes org.apache.kafka.connect.data.Decimal';
const BYTES_PLACEHOLDER = Buffer.from(PLACEHOLDER).toString('base64');
/** Bytes of the widest integer of ClickHouse. */
const WIDEST = 32;
const FIRST_MICROS = BigInt(Date.UTC(1900, 0, 1)) * 1_000n;
const AFTER_MICROS = BigInt(Date.UTC(2300, 0, 1)) * 1_000n;
const DAY_MS = 86_400_000;
/** ISO in UTC, 1900 to 2299. */
const ZONED = '^(19|2[0-2])\\\\d\\\\d-\\\\d\\\\d-\\\\d\\\\dT\\\\d\\\\d:\\\\d\\\\d:\\\\d\\\\d(\\\\.\\\\d{1,6})?Z$';
const FIRST_DAY = Date.UTC(1900, 0, 1) / DAY_MS;
const LAST_DAY = Date.UTC(2299, 11, 31) / DAY_MS;

/**
 * @param place number of the column, for the names of its steps
 * @returns undefined for a column that a message does not hold exactly, or whose value somebody has to choose: only a worker reads rows
 * from PostgreSQL
 */
export function debeziumColumn(column: Column, place = 0): DebeziumColumn | undefined {
  // Debezium writes null for NaN: that is what the policy `null` makes of it.
  const isNumeric = column.type === 'numeric';
  if (isNumeric && column.nullable && column.policy !== 'null') return undefined;
  const meansNull = isNumeric && column.policy === 'null';
  if (!meansNull && column.policy !== undefined && column.policy !== 'refuse') return undefined;
  if (!hasOwnPlace(column)) return undefined;
  const field = new Field(quoteText(column.name), place);
  const value = readerOf(column, field.next());
  if (value === undefined) return undefined;
  return { steps: field.steps, raw: field.raw, described: field.described, value: field.next().name('value', value) };
}

class Field {
  readonly steps: DebeziumStep[] = [];
  readonly raw: string;
  readonly described: string;
  readonly #place: number;
  #level = 0;

  constructor(name: string, place: number) {
    this.#place = place;
    this.raw = this.name('raw', `${ROW}[${name}]`);
    this.described = this.name('type', `${TYPES}[${name}]`);
  }

  /** Of a JSON string. */
  get text(): string {
    return `JSONExtractString(${this.raw})`;
  }

  /** Those named so far are there for what is named from here on. */
  next(): this {
    this.#level += 1;
    return this;
  }

  /** @returns the alias of the expression */
  name(step: string, expression: string): string {
    const alias = `_kafka_${this.#place}_${step}`;
    this.steps.push({ level: this.#level + 1, sql: `${expression} as ${alias}` });
    return alias;
  }
}

const isQuoted = ({ raw }: Field): string => `startsWith(${raw}, '"')`;
const isOf = ({ described }: Field, ...types: readonly string[]): string =>
  `${described} in (${types.map(quoteText).join(', ')})`;
/** A NULL unless the condition holds. */
const only = (condition: string, value: string): string => `if(${condition}, ${value}, NULL)`;

function readerOf(column: Column, field: Field): string | undefined {
  const { type } = column;
  const { raw } = field;
  const { clickhouse: _, policy: __, ...plain } = column;
  const clickhouse = columnType(plain).clickhouse({ ...plain, nullable: false });
  const range = rangeOf(clickhouse);
  if (range !== undefined && /^(?:bigint|integer|smallint|oid)$/u.test(type)) {
    const number = field.name('number', `toInt128OrNull(${raw})`);
    return only(
      `${number} between toInt128('${range.lowest}') and toInt128('${range.highest}')`,
      `accurateCastOrNull(${number}, ${quoteText(clickhouse)})`,
    );
  }
  switch (type) {
    case 'boolean':
      return only(`${raw} in ('true', 'false')`, `${raw} = 'true'`);
    case 'double precision':
      return only(isNumber(field), floatOf(field, 'Float64'));
    case 'real':
      return only(`${isNumber(field)} and ${isOf(field, '', 'float')}`, floatOf(field, 'Float32'));
    case 'date': {
      const days = field.name('days', `toInt32OrNull(${raw})`);
      return only(`${days} between ${FIRST_DAY} and ${LAST_DAY}`, `addDays(toDate32('1970-01-01'), ${days})`);
    }
    case 'timestamp without time zone': {
      const micros = unitsOf(field, 'MicroTimestamp', 'Timestamp');
      const within = `${micros} >= ${FIRST_MICROS} and ${micros} < ${AFTER_MICROS}`;
      return only(within, `fromUnixTimestamp64Micro(${micros}, 'UTC')`);
    }
    case 'time without time zone': {
      const micros = unitsOf(field, 'MicroTime', 'Time');
      return only(`${micros} between 0 and ${BigInt(DAY_MS) * 1_000n}`, clockOf(micros));
    }
    case 'numeric':
      return decimalOf(column, field, clickhouse);
    default:
      return textOf(type, field);
  }
}

function textOf(type: string, field: Field): string | undefined {
  const text = field.name('text', field.text);
  const isString = (placeholder: string): string => `${isQuoted(field)} and ${text} != ${quoteText(placeholder)}`;
  switch (type) {
    case 'character':
      return only(isString(PLACEHOLDER), `trimRight(${text})`);
    case 'timestamp with time zone':
      return only(
        `match(${text}, '${ZONED}')`,
        `toDateTime64OrNull(replaceOne(substring(${text}, 1, length(${text}) - 1), 'T', ' '), 6, 'UTC')`,
      );
    case 'bytea':
      return only(
        `${isOf(field, 'bytes')} and ${isString(BYTES_PLACEHOLDER)}`,
        `concat('\\\\x', lower(hex(base64Decode(${text}))))`,
      );
    default: {
      if (!isTextType(type) && !isExtensionText(type)) return undefined;
      const { described } = field;
      const isPlain = `(${described} = '' or startsWith(${described}, 'string')) and ${isString(PLACEHOLDER)}`;
      return only(isPlain, type === 'uuid' ? `toUUIDOrNull(${text})` : text);
    }
  }
}

/** A number, or the text of NaN or an infinity. */
function isNumber({ raw, text }: Field): string {
  return `(match(${raw}, '^-?\\\\d') or ${text} in ('NaN', 'Infinity', '-Infinity'))`;
}

/** `JSONExtract` takes -0 for an integer. */
function floatOf({ raw }: Field, clickhouse: string): string {
  return `if(${raw} = '-0', to${clickhouse}('-0'), JSONExtract(${raw}, 'Nullable(${clickhouse})'))`;
}

/** Microseconds, where the schema says what the number is; else NULL. */
function unitsOf(field: Field, micro: string, milli: string): string {
  const number = field.name('number', `toInt64OrNull(${field.raw})`);
  const isMicro = isOf(field, `int64 io.debezium.time.${micro}`);
  const isMilli = isOf(field, `int64 io.debezium.time.${milli}`, `int32 io.debezium.time.${milli}`);
  return field.next().name('micros', `multiIf(${isMicro}, ${number}, ${isMilli}, ${number} * 1000, NULL)`);
}

/** As PostgreSQL prints a time of day: no zeros at the end of a fraction. */
function clockOf(micros: string): string {
  const two = (number: string): string => `leftPad(toString(${number}), 2, '0')`;
  const parts = [
    two(`intDiv(${micros}, 3600000000)`),
    two(`intDiv(${micros}, 60000000) % 60`),
    two(`intDiv(${micros}, 1000000) % 60`),
  ];
  const fraction = `concat('.', leftPad(toString(${micros} % 1000000), 6, '0'))`;
  return `concat(${parts.join(`, ':', `)}, replaceRegexpOne(${fraction}, '\\\\.?0+$', ''))`;
}

function decimalOf({ scale }: Column, field: Field, clickhouse: string): string | undefined {
  if (scale === undefined || scale < 0 || !clickhouse.startsWith('Decimal(')) return undefined;
  const text = field.name('text', field.text);
  const isBytes = `${isOf(field, `${DECIMAL} ${scale}`)} and ${isQuoted(field)}`;
  const bytes = field.next().name('bytes', `if(${isBytes}, base64Decode(${text}), '')`);
  const filler = `if(bitTest(reinterpretAsUInt8(${bytes}), 7), '\\xff', '\\0')`;
  const padding = `repeat(${filler}, greatest(0, ${WIDEST} - length(${bytes})))`;
  const whole = field.next().name('whole', `reinterpretAsInt256(concat(reverse(${bytes}), ${padding}))`);
  const bare = field.next().name('bare', `toString(abs(${whole}))`);
  // It would cut a longer text.
  const digits = field.next().name('digits', `leftPad(${bare}, greatest(length(${bare}), ${scale + 1}), '0')`);
  const point =
    scale === 0 ? digits : `concat(left(${digits}, length(${digits}) - ${scale}), '.', right(${digits}, ${scale}))`;
  const printed = `concat(if(${whole} < 0, '-', ''), ${point})`;
  const pattern = scale === 0 ? '^-?\\\\d+$' : `^-?\\\\d+\\\\.\\\\d{${scale}}$`;
  const isPrinted = `${isOf(field, 'string')} and match(${text}, '${pattern}')`;
  const exact = `multiIf(length(${bytes}) between 1 and ${WIDEST}, ${printed}, ${isPrinted}, ${text}, NULL)`;
  return `accurateCastOrNull(${exact}, ${quoteText(clickhouse)})`;
}
