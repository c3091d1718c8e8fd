import { DatabaseError } from 'pg';
import { explainTls } from './explain-tls.js';
import { Failure } from './failure.js';
import type { FailureKind } from './kinds.js';

/** What went wrong, as a sentence that ends before "while". */
interface Classification {
  readonly kind: FailureKind;
  readonly sentence: string;
}

const UNAVAILABLE: Classification = { kind: 'SourceUnavailable', sentence: 'PostgreSQL could not be reached' };
const RESTARTING: Classification = { kind: 'SourceUnavailable', sentence: 'PostgreSQL is starting or stopping' };
const BUSY: Classification = { kind: 'SourceUnavailable', sentence: 'PostgreSQL has no connections or memory left' };
const DISK_FULL: Classification = { kind: 'SourceUnavailable', sentence: 'PostgreSQL has no room left on its disk' };
const BROKEN: Classification = {
  kind: 'SourceUnavailable',
  sentence: 'PostgreSQL could not read or write its files',
};
const LOCKED: Classification = { kind: 'LockTimeout', sentence: 'A lock on the table was not free in time' };
const REPEAT: Classification = {
  kind: 'LockTimeout',
  sentence: 'PostgreSQL gave up a transaction that conflicted with another',
};
const CANCELLED: Classification = { kind: 'SourceUnavailable', sentence: 'PostgreSQL cancelled the statement' };
const REFUSED: Classification = { kind: 'LoginRefused', sentence: 'PostgreSQL refused the user or its password' };
const FORBIDDEN: Classification = { kind: 'Unauthorized', sentence: 'The PostgreSQL user lacks a privilege' };
const NO_DATABASE: Classification = { kind: 'Misconfigured', sentence: 'The database does not exist in PostgreSQL' };
const READ_ONLY: Classification = {
  kind: 'SourceUnavailable',
  sentence: 'This PostgreSQL server takes no writes (is it a standby?)',
};
const GONE: Classification = { kind: 'MissingTable', sentence: 'A table is not there any more' };
const ALTERED: Classification = {
  kind: 'SourceChanged',
  sentence: 'A column or type is not as it was when the table was added',
};
const FULL: Classification = { kind: 'Misconfigured', sentence: 'A limit of PostgreSQL was reached' };

/** By SQLSTATE. A class of two characters stands for the codes of it that have no line of their own. */
const BY_SQLSTATE: Readonly<Record<string, Classification>> = {
  '08': UNAVAILABLE, // connection_exception
  '28': REFUSED, // invalid_authorization_specification, invalid_password
  '53': BUSY, // insufficient_resources, too_many_connections
  '53100': DISK_FULL, // disk_full
  '54': FULL, // program_limit_exceeded
  '25006': READ_ONLY, // read_only_sql_transaction
  '0A000': READ_ONLY, // feature_not_supported: `begin read write` on a standby
  '3D000': NO_DATABASE, // invalid_catalog_name
  '3F000': GONE, // invalid_schema_name
  '40': REPEAT, // serialization_failure, deadlock_detected
  '42501': FORBIDDEN, // insufficient_privilege, and row-level security with row_security = off
  '42703': ALTERED, // undefined_column
  '42704': ALTERED, // undefined_object: a type or a collation
  '42804': ALTERED, // datatype_mismatch
  '42883': ALTERED, // undefined_function: an operator for types that were changed
  '42P01': GONE, // undefined_table
  '55P03': LOCKED, // lock_not_available
  '55000': READ_ONLY, // object_not_in_prerequisite_state: positions of the log asked of a standby
  '57014': CANCELLED, // query_canceled: statement_timeout, or a person
  '57P01': RESTARTING, // admin_shutdown
  '57P02': RESTARTING, // crash_shutdown
  '57P03': RESTARTING, // cannot_connect_now
  '57P04': NO_DATABASE, // database_dropped
  '57P05': UNAVAILABLE, // idle_session_timeout
  '58': BROKEN, // system_error, io_error, undefined_file
  '25P03': UNAVAILABLE, // idle_in_transaction_session_timeout
  '25P04': UNAVAILABLE, // transaction_timeout
};

/** By `errno` code of the socket. */
const BY_ERRNO: Readonly<Record<string, Classification>> = {
  ECONNREFUSED: UNAVAILABLE,
  ECONNRESET: UNAVAILABLE,
  ECONNABORTED: UNAVAILABLE,
  EHOSTUNREACH: UNAVAILABLE,
  ENETUNREACH: UNAVAILABLE,
  ENOTFOUND: UNAVAILABLE,
  EAI_AGAIN: UNAVAILABLE,
  EPIPE: UNAVAILABLE,
  ETIMEDOUT: UNAVAILABLE,
};

/**
 * The failure that an error of `pg` means. The server's own text stays in `cause`, because it may repeat row values.
 * @param what the end of the sentence `... while <what>.`, for example `reading batch 7 of public.orders`
 */
export function classifyPostgres(error: unknown, what: string): Failure {
  if (error instanceof Failure) return error;
  const tls = explainTls(error);
  // Not parked: after a certificate is renewed, nobody should have to resume the tables.
  if (tls !== undefined)
    return new Failure('SourceUnavailable', {
      message: `PostgreSQL ${tls.sentence}, seen while ${what}.`,
      cause: error,
    });
  const { kind, sentence } = classificationOf(error);
  return new Failure(kind, { message: `${sentence} while ${what}.`, cause: error });
}

/** The same of the database that the ledger lies in: a kind of its own, because it holds up all tables. */
export function asLedgerFailure(failure: Failure): Failure {
  const { kind, message, remedy, cause } = failure;
  return kind === 'SourceUnavailable' ? new Failure('LedgerUnavailable', { message, remedy, cause }) : failure;
}

function classificationOf(error: unknown): Classification {
  const code = codeOf(error);
  if (error instanceof DatabaseError && code !== undefined) {
    return (
      BY_SQLSTATE[code] ??
      BY_SQLSTATE[code.slice(0, 2)] ?? { kind: 'Unexpected', sentence: `PostgreSQL answered with SQLSTATE ${code}` }
    );
  }
  if (code !== undefined && Object.hasOwn(BY_ERRNO, code)) return BY_ERRNO[code] ?? UNAVAILABLE;
  if (error instanceof AggregateError) return error.errors.map(classificationOf)[0] ?? UNAVAILABLE;
  if (error instanceof Error && isLostConnection(error)) return UNAVAILABLE;
  return { kind: 'Unexpected', sentence: 'Something unexpected happened' };
}

function codeOf(error: unknown): string | undefined {
  const code: unknown = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

/** The only place where a text decides, because there is no code: texts of the driver, which a server cannot produce. */
const LOST_CONNECTION: readonly string[] = [
  'Connection terminated',
  'Connection terminated unexpectedly',
  'Connection terminated due to connection timeout',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'timeout expired',
  'timeout exceeded when trying to connect',
  'Query read timeout',
];

function isLostConnection(error: Error): boolean {
  return LOST_CONNECTION.includes(error.message);
}
