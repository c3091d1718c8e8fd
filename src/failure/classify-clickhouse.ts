import { explainTls } from './explain-tls.js';
import { Failure } from './failure.js';
import type { FailureKind } from './kinds.js';

/**
 * Error codes of ClickHouse that we know, with their names there. Whatever is not listed is `Unexpected`: retried, and
 * worth a line here. The name printed is ours: the one in the server's answer cannot be told from the text of a row.
 */
export const CLICKHOUSE_CODES: Readonly<Record<number, readonly [name: string, kind: FailureKind]>> = {
  3: ['UNEXPECTED_END_OF_FILE', 'SinkUnavailable'], // the body was cut short: nothing of it is inserted
  6: ['CANNOT_PARSE_TEXT', 'RowRefused'],
  8: ['THERE_IS_NO_COLUMN', 'SchemaMismatch'],
  10: ['NOT_FOUND_COLUMN_IN_BLOCK', 'SchemaMismatch'],
  16: ['NO_SUCH_COLUMN_IN_TABLE', 'SchemaMismatch'],
  20: ['NUMBER_OF_COLUMNS_DOESNT_MATCH', 'SchemaMismatch'],
  25: ['CANNOT_PARSE_ESCAPE_SEQUENCE', 'RowRefused'],
  26: ['CANNOT_PARSE_QUOTED_STRING', 'RowRefused'],
  27: ['CANNOT_PARSE_INPUT_ASSERTION_FAILED', 'RowRefused'],
  32: ['ATTEMPT_TO_READ_AFTER_EOF', 'SinkUnavailable'],
  33: ['CANNOT_READ_ALL_DATA', 'SinkUnavailable'],
  38: ['CANNOT_PARSE_DATE', 'RowRefused'],
  41: ['CANNOT_PARSE_DATETIME', 'RowRefused'],
  44: ['ILLEGAL_COLUMN', 'SchemaMismatch'],
  47: ['UNKNOWN_IDENTIFIER', 'SchemaMismatch'],
  50: ['UNKNOWN_TYPE', 'SchemaMismatch'],
  53: ['TYPE_MISMATCH', 'RowRefused'],
  60: ['UNKNOWN_TABLE', 'SinkSetBack'], // a target that is gone takes what was confirmed with it
  69: ['ARGUMENT_OUT_OF_BOUND', 'RowRefused'],
  70: ['CANNOT_CONVERT_TYPE', 'RowRefused'],
  72: ['CANNOT_PARSE_NUMBER', 'RowRefused'],
  81: ['UNKNOWN_DATABASE', 'SinkSetBack'],
  // An unknown field of a JSON row, and also a null where the column takes none: both mean that the table does not fit.
  117: ['INCORRECT_DATA', 'SchemaMismatch'],
  131: ['TOO_LARGE_STRING_SIZE', 'RowRefused'],
  159: ['TIMEOUT_EXCEEDED', 'SinkUnavailable'],
  160: ['TOO_SLOW', 'SinkUnavailable'],
  164: ['READONLY', 'Unauthorized'],
  192: ['UNKNOWN_USER', 'LoginRefused'],
  193: ['WRONG_PASSWORD', 'LoginRefused'],
  194: ['REQUIRED_PASSWORD', 'LoginRefused'],
  195: ['IP_ADDRESS_NOT_ALLOWED', 'LoginRefused'],
  201: ['QUOTA_EXCEEDED', 'SinkBusy'],
  202: ['TOO_MANY_SIMULTANEOUS_QUERIES', 'SinkBusy'],
  209: ['SOCKET_TIMEOUT', 'SinkUnavailable'],
  210: ['NETWORK_ERROR', 'SinkUnavailable'],
  218: ['TABLE_IS_DROPPED', 'SinkSetBack'],
  225: ['NO_ZOOKEEPER', 'SinkUnavailable'],
  236: ['ABORTED', 'SinkUnavailable'],
  241: ['MEMORY_LIMIT_EXCEEDED', 'SinkBusy'],
  242: ['TABLE_IS_READ_ONLY', 'SinkUnavailable'], // a replica without its keeper
  243: ['NOT_ENOUGH_SPACE', 'SinkBusy'],
  252: ['TOO_MANY_PARTS', 'SinkBusy'],
  279: ['ALL_CONNECTION_TRIES_FAILED', 'SinkUnavailable'],
  285: ['TOO_FEW_LIVE_REPLICAS', 'SinkUnavailable'],
  286: ['UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE', 'SinkUnavailable'],
  291: ['DATABASE_ACCESS_DENIED', 'Unauthorized'],
  319: ['UNKNOWN_STATUS_OF_INSERT', 'SinkUnavailable'],
  321: ['VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE', 'RowRefused'],
  349: ['CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN', 'RowRefused'],
  376: ['CANNOT_PARSE_UUID', 'RowRefused'],
  394: ['QUERY_WAS_CANCELLED', 'SinkUnavailable'],
  407: ['DECIMAL_OVERFLOW', 'RowRefused'],
  439: ['CANNOT_SCHEDULE_TASK', 'SinkBusy'],
  452: ['SETTING_CONSTRAINT_VIOLATION', 'Unauthorized'],
  467: ['CANNOT_PARSE_BOOL', 'RowRefused'],
  469: ['VIOLATED_CONSTRAINT', 'RowRefused'],
  473: ['DEADLOCK_AVOIDED', 'SinkUnavailable'],
  497: ['ACCESS_DENIED', 'Unauthorized'],
  499: ['S3_ERROR', 'SinkUnavailable'],
  516: ['AUTHENTICATION_FAILED', 'LoginRefused'],
  524: ['ALTER_OF_COLUMN_IS_FORBIDDEN', 'SchemaMismatch'],
  999: ['KEEPER_EXCEPTION', 'SinkUnavailable'],
  1000: ['POCO_EXCEPTION', 'SinkUnavailable'],
};

/** The error of ClickHouse without its text, which repeats rows that it could not read. */
export class ClickHouseAnswer extends Error {
  readonly code: number;
  /** Of the row that could not be read, as far as the text says so. */
  readonly place: RowPlace;
  /** All that ClickHouse said, which may repeat rows. Not enumerable, so that no logger prints it. */
  declare readonly serverText?: string;

  constructor(code: number, name: string | undefined, place: RowPlace = NOWHERE) {
    super(name === undefined ? `ClickHouse answered code ${code}` : `ClickHouse answered code ${code} ${name}`);
    this.name = 'ClickHouseAnswer';
    this.code = code;
    this.place = place;
  }
}

/** Neither is certain: the text repeats values, which may look like it. */
export interface RowPlace {
  /** Number of the row in the insert, from 1. */
  readonly row: number | undefined;
  readonly column: string | undefined;
}

const NOWHERE: RowPlace = { row: undefined, column: undefined };

/**
 * Turns an error of `@clickhouse/client` into a Failure. A Failure is returned as it is.
 *
 * @param what what we were doing, to follow "while": `inserting into shop.orders`
 * @param columns of the rows that were sent: names to look for in the answer, where no others are printed. Without them
 *   no rows were sent, so none was refused: a parse error of a statement is `Unexpected`.
 */
export function classifyClickHouse(error: unknown, what: string, columns?: readonly string[]): Failure {
  if (error instanceof Failure) return error;
  const code = codeOf(error);
  if (error instanceof Error && /^\d+$/u.test(code)) return classifyAnswer(Number(code), error.message, what, columns);
  const tls = explainTls(error);
  // Not parked: after a certificate is renewed, nobody should have to resume the tables.
  if (tls !== undefined)
    return new Failure('SinkUnavailable', { message: `ClickHouse ${tls.sentence}, seen while ${what}.`, cause: error });
  if (code === 'ERR_INVALID_URL')
    return new Failure('Misconfigured', { message: `The address of ClickHouse is no URL, seen while ${what}.` });
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError)
    return new Failure('Unexpected', { message: `A fault of pg2click while ${what}: ${error.name}.`, cause: error });
  // The rest comes from the socket, from its timeout, or from a proxy. The server may have acted or not. Sending again is safe, by
  // version and by token.
  const reason = code === '' ? '' : ` (${code})`;
  const text = `ClickHouse cannot be reached, or gave no answer, while ${what}${reason}.`;
  return new Failure('SinkUnavailable', { message: text, cause: withoutText(error, code) });
}

function classifyAnswer(code: number, text: string, what: string, columns: readonly string[] | undefined): Failure {
  const [name, listed] = CLICKHOUSE_CODES[code] ?? [undefined, 'Unexpected' as const];
  const kind = listed === 'RowRefused' && columns === undefined ? 'Unexpected' : listed;
  const place = kind === 'RowRefused' || kind === 'SchemaMismatch' ? placeOf(text, columns ?? []) : NOWHERE;
  const cause = new ClickHouseAnswer(code, name, place);
  Object.defineProperty(cause, 'serverText', { value: text, enumerable: false });
  const answer = name === undefined ? `code ${code}` : `${code} ${name}`;
  const verb = kind === 'RowRefused' ? 'refused a row' : 'failed';
  const message = `ClickHouse ${verb} while ${what}${placeText(place)}: ${answer}.`;
  return new Failure(kind, { message, remedy: kind === 'Unauthorized' ? grantIn(text) : undefined, cause });
}

/** The right that is missing, as far as the text names it: `SELECT(id) ON shop.orders`. It holds names alone. */
function grantIn(text: string): string | undefined {
  const name = '(?:`[^`]+`|\\w+|\\*)';
  const right = new RegExp(`the grant ([A-Z][\\w ,()\`]* ON ${name}(?:\\.${name})?)`, 'u').exec(text)?.[1];
  return right === undefined
    ? undefined
    : `Run in ClickHouse: grant ${right} to the user of these settings. Then resume the table.`;
}

/** `, at row 3 of the insert, column "amount"` */
function placeText({ row, column }: RowPlace): string {
  return `${row === undefined ? '' : `, at row ${row} of the insert`}${column === undefined ? '' : `, column "${column}"`}`;
}

function placeOf(text: string, columns: readonly string[]): RowPlace {
  const row = /\(at row (\d{1,12})\)/u.exec(text)?.[1];
  const column = columns.find(
    (name) =>
      text.includes(`(while reading the value of key ${name})`) ||
      text.startsWith(`Unknown field found while parsing JSONEachRow format: ${name}: `) ||
      text.startsWith(`No such column ${name} in table `) ||
      text.split('\n').some((line) => line.includes(` name: ${name}, `) && line.includes('ERROR')),
  );
  return { row: row === undefined ? undefined : Number(row), column };
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' || typeof error.code === 'number' ? String(error.code) : '';
}

/** The client puts a proxy's page, or half a response, into the text of a plain Error. Only errors with a code keep their text. */
function withoutText(error: unknown, code: string): unknown {
  return code === '' ? undefined : error;
}
