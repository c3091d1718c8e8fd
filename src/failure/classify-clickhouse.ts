import { CLICKHOUSE_CODES } from './clickhouse-codes.js';
import { explainTls } from './explain-tls.js';
import { Failure } from './failure.js';

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
  const tooLong = error instanceof Error ? PROXY_LIMITS[proxyStatus(error.message)] : undefined;
  if (tooLong !== undefined)
    return new Failure('Misconfigured', {
      message: `${tooLong[0]}, seen while ${what}.`,
      remedy: `${tooLong[1]} Or set CH_URL to ClickHouse itself and restart the worker. Then resume the table.`,
      cause: withoutText(error, code),
    });
  // The rest comes from the socket, from its timeout, or from a proxy. The server may have acted or not. Sending again is safe, by
  // version and by token.
  const reason = code === '' ? '' : ` (${code})`;
  const text = `ClickHouse cannot be reached, or gave no answer, while ${what}${reason}.`;
  return new Failure('SinkUnavailable', { message: text, cause: withoutText(error, code) });
}

/** What a proxy refuses for its size, however often it is sent. */
const PROXY_LIMITS: Readonly<Record<string, readonly [sentence: string, remedy: string]>> = {
  413: [
    'A proxy before ClickHouse takes no body as large as that of an insert (HTTP 413)',
    'Raise its limit to 200 MB (nginx: client_max_body_size).',
  ],
  414: [
    'A proxy before ClickHouse takes no URL as long as that of an insert (HTTP 414)',
    'Raise its limit to 8 KB (nginx: large_client_header_buffers).',
  ],
};

/** The status in the page of a proxy: the client does not tell it. '' where the answer is no such page. */
function proxyStatus(text: string): string {
  return /^\s*<[^]{0,500}?<(?:title|h1)>\s*(\d{3})\b/iu.exec(text)?.[1] ?? '';
}

function classifyAnswer(code: number, text: string, what: string, columns: readonly string[] | undefined): Failure {
  const [name, listed, told] = CLICKHOUSE_CODES[code] ?? [undefined, 'Unexpected' as const];
  const kind = listed === 'RowRefused' && columns === undefined ? 'Unexpected' : listed;
  const place = kind === 'RowRefused' || kind === 'SchemaMismatch' ? placeOf(text, columns ?? []) : NOWHERE;
  const cause = new ClickHouseAnswer(code, name, place);
  Object.defineProperty(cause, 'serverText', { value: text, enumerable: false });
  const answer = name === undefined ? `code ${code}` : `${code} ${name}`;
  const verb = kind === 'RowRefused' ? 'refused a row' : 'failed';
  const message = `ClickHouse ${verb} while ${what}${placeText(place)}: ${answer}.`;
  return new Failure(kind, {
    message,
    remedy: told ?? (kind === 'Unauthorized' ? (grantIn(text) ?? profileOf(text)) : undefined),
    cause,
    server: 'clickhouse',
  });
}

/** The right that is missing, as far as the text names it: `SELECT(id) ON shop.orders`. It holds names alone. */
function grantIn(text: string): string | undefined {
  const name = '(?:`[^`]+`|\\w+|\\*)';
  const right = new RegExp(`the grant ([A-Z][\\w ,()\`]* ON ${name}(?:\\.${name})?)`, 'u').exec(text)?.[1];
  return right === undefined
    ? undefined
    : `Run in ClickHouse: grant ${right} to the user of these settings. Then resume the table.`;
}

/** A setting that the profile of the user does not let us send: the text names it. It holds names and limits alone. */
function profileOf(text: string): string | undefined {
  const [, one, other] = /Cannot modify '(\w+)' setting|Setting (\w+) should/u.exec(text) ?? [];
  const setting = one ?? other;
  return setting === undefined
    ? undefined
    : `The settings profile of this ClickHouse user does not let pg2click set ${setting}. Give the user a profile without readonly, and without a constraint on it. Then resume the table.`;
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
