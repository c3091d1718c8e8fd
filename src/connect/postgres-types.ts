import pg from 'pg';

/** Types whose usual JavaScript value loses something: microseconds, digits, the order of keys, or integers above 2 ** 53. */
const LOSSY = [
  114, // json: also what row_to_json gives; jsonb, in which only the ledger speaks, is parsed
  1082, // date
  1083, // time
  1114, // timestamp
  1184, // timestamptz
  1186, // interval
  199, // json[]
  1115, // timestamp[]
  1182, // date[]
  1185, // timestamptz[]
  1187, // interval[]
  1021, // real[]
  1022, // double precision[]
  1231, // numeric[]
];

const asText = (value: string): string => value;

/**
 * How values of a result row become JavaScript: `pg`'s way (bigint and numeric are text, boolean and int are what they
 * are), except that what would lose something stays text.
 */
export const readWithoutLoss = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    LOSSY.includes(oid) ? asText : pg.types.getTypeParser(oid, format as 'text')) as typeof pg.types.getTypeParser,
};
