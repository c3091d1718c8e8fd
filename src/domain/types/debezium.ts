import { asText } from './expressions.js';
import type { Expression } from './type.js';

/** What Debezium writes for the infinities of a timestamp, in microseconds: those of the JDBC driver. */
const INFINITE_MICROS = { infinity: '9223372036825200000', '-infinity': '-9223372036832400000' } as const;
/** Of a date: Debezium's own numbers overflow, and are the same day but one for both. These are the largest and smallest int32. */
const INFINITE_DAYS = { infinity: '2147483647', '-infinity': '-2147483648' } as const;

const finite =
  (
    type: string,
    infinite: { readonly infinity: string; readonly '-infinity': string },
    otherwise: Expression,
  ): Expression =>
  (value) =>
    `case ${value} when ${type} 'infinity' then '${infinite.infinity}' when ${type} '-infinity' then '${infinite['-infinity']}' else ${otherwise(value)} end`;

/** Whole, and exact: `extract` gives a numeric of six digits. A bigint would be too small for the year 294276. */
const micros: Expression = (value) => `trunc(extract(epoch from ${value}) * 1000000)::text`;

/** `io.debezium.time.Date`: days since 1970. */
export const debeziumDate = finite('date', INFINITE_DAYS, (value) => `(${value} - date '1970-01-01')::text`);

/** `io.debezium.time.MicroTimestamp`, whatever the precision of the column: microseconds since 1970, without a zone. */
export const debeziumTimestamp = finite('timestamp', INFINITE_MICROS, micros);

/** `io.debezium.time.MicroTime`: microseconds since midnight. */
export const debeziumTime = micros;

/** `io.debezium.time.ZonedTimestamp`: ISO 8601 in UTC with six digits, in the years 1 to 9999; else as PostgreSQL prints it. */
export const debeziumZoned: Expression = (value) => {
  const bound = (year: string): string => `timestamptz '${year}-01-01 00:00:00+00'`;
  return `case when ${value} >= ${bound('0001')} and ${value} < ${bound('10000')}
    then '"' || to_char(${value}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"' else '"' || ${asText(value)} || '"' end`;
};

/** Base64, in one line. */
export const debeziumBytes: Expression = (value) => `'"' || translate(encode(${value}, 'base64'), e'\\n', '') || '"'`;
