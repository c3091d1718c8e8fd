import type { FailureKind } from './kinds.js';

/** What one error code of a server means. */
export interface CodeMeaning {
  /** As the server's own documentation calls it. */
  readonly name: string;
  readonly kind: FailureKind;
  /** What to do, where it is more than the kind's remedy says. */
  readonly remedy?: string;
}

/** `sentence` ends before "while". */
export interface Sqlstate extends CodeMeaning {
  readonly sentence: string;
}

type Meaning = Omit<Sqlstate, 'name'>;

const UNAVAILABLE: Meaning = { kind: 'SourceUnavailable', sentence: 'PostgreSQL could not be reached' };
const RESTARTING: Meaning = { kind: 'SourceUnavailable', sentence: 'PostgreSQL is starting or stopping' };
const BUSY: Meaning = { kind: 'SourceUnavailable', sentence: 'PostgreSQL has no connections or memory left' };
const DISK_FULL: Meaning = { kind: 'SourceUnavailable', sentence: 'PostgreSQL has no room left on its disk' };
const BROKEN: Meaning = { kind: 'SourceUnavailable', sentence: 'PostgreSQL could not read or write its files' };
const INTERNAL: Meaning = {
  kind: 'SourceUnavailable',
  sentence: 'PostgreSQL met a fault of its own',
  remedy: 'Look at the log of PostgreSQL. The table goes on by itself when it is well.',
};
const TIMED_OUT: Meaning = { kind: 'SourceUnavailable', sentence: 'PostgreSQL ended the session at a time limit' };
const LOCKED: Meaning = { kind: 'LockTimeout', sentence: 'A lock on the table was not free in time' };
const REPEAT: Meaning = {
  kind: 'LockTimeout',
  sentence: 'PostgreSQL gave up a transaction that conflicted with another',
  remedy: 'Nothing to do: it is tried again.',
};
const CANCELLED: Meaning = { kind: 'SourceUnavailable', sentence: 'PostgreSQL cancelled the statement' };
const REFUSED: Meaning = { kind: 'LoginRefused', sentence: 'PostgreSQL refused the user or its password' };
const FORBIDDEN: Meaning = { kind: 'Unauthorized', sentence: 'The PostgreSQL user lacks a privilege' };
const HIDDEN: Meaning = {
  kind: 'Unauthorized',
  sentence: 'Row-level security hides rows of a table from the PostgreSQL user',
  remedy:
    'No grant helps. Run in PostgreSQL as a superuser: alter role NAME bypassrls, with the role of these settings. Then resume the table.',
};
const NO_DATABASE: Meaning = { kind: 'Misconfigured', sentence: 'The database does not exist in PostgreSQL' };
const READ_ONLY: Meaning = {
  kind: 'SourceUnavailable',
  sentence: 'This PostgreSQL server takes no writes',
  remedy:
    'Look whether it is a standby, or whether default_transaction_read_only is on for the database or the role, as some providers set it ' +
    'when the disk is nearly full. The table goes on by itself.',
};
const GONE: Meaning = { kind: 'MissingTable', sentence: 'A table is not there any more' };
const ALTERED: Meaning = {
  kind: 'SourceChanged',
  sentence: 'A column or type is not as it was when the table was added',
};
const LIMIT: Meaning = {
  kind: 'Misconfigured',
  sentence: 'A limit of PostgreSQL was reached',
  remedy: 'Raise the limit that the log of PostgreSQL names, then resume the table.',
};
const POOLER: Meaning = {
  kind: 'Misconfigured',
  sentence: 'A session of PostgreSQL lost its state, as behind a pooler in transaction mode',
  remedy:
    'Connect to PostgreSQL itself, or to a pooler in session mode: correct the host and port in the settings, restart the worker, then resume the table.',
};
const BAD_TEXT: Meaning = {
  kind: 'UnsuitableTable',
  sentence: 'A text in PostgreSQL is not valid in the encoding of its database, or is none in UTF-8',
  remedy:
    'Correct the text of that row, then resume the table. Or remove the table and add it again without the column (--exclude-column).',
};
const BAD_VALUE: Meaning = {
  kind: 'UnsuitableTable',
  sentence: 'PostgreSQL could not compute a value of a row (of a generated column, a view or a filter)',
  remedy:
    'Correct the row that the expression fails for, as one with a 0 that something is divided by, then resume the table. ' +
    'Or remove the table and add it again without the column (--exclude-column).',
};
const RAISED: Meaning = {
  kind: 'Misconfigured',
  sentence: 'A trigger, an event trigger or a function of the database raised an error',
  remedy: 'The log of PostgreSQL has its text. Let it allow what pg2click does, then resume the table.',
};
const EXTENSION: Meaning = {
  kind: 'SourceUnavailable',
  sentence: 'An extension or a foreign server of PostgreSQL failed',
  remedy: 'Look at the log of PostgreSQL. The table goes on by itself when it is well.',
};

const called = (name: string, meaning: Meaning): Sqlstate => ({ name, ...meaning });

/**
 * Every SQLSTATE that the user's world can give to our statements. Two characters stand for the codes of a class that have no line of
 * their own. A code and a routine, after a slash, where one code means two things: the routine is the C function that raised it. What
 * is in no line is a fault of ours: a syntax error, a constraint of the ledger.
 */
export const SQLSTATES: Readonly<Record<string, Sqlstate>> = {
  '08': called('connection_exception', UNAVAILABLE),
  '08P01': called('protocol_violation', POOLER),
  '0A000': called('feature_not_supported', READ_ONLY), // `begin read write` on a standby
  '0A000/RevalidateCachedQuery': called('feature_not_supported: cached plan', REPEAT),
  '22': called('data_exception', BAD_VALUE),
  '22021': called('character_not_in_repertoire', BAD_TEXT),
  '22P05': called('untranslatable_character', BAD_TEXT),
  '25006': called('read_only_sql_transaction', READ_ONLY),
  '25P03': called('idle_in_transaction_session_timeout', TIMED_OUT),
  '25P04': called('transaction_timeout', TIMED_OUT),
  '26000': called('invalid_sql_statement_name', POOLER),
  '28': called('invalid_authorization_specification', REFUSED),
  '34000': called('invalid_cursor_name', POOLER),
  '38': called('external_routine_exception', RAISED),
  '39': called('external_routine_invocation_exception', RAISED),
  '3D000': called('invalid_catalog_name', NO_DATABASE),
  '3F000': called('invalid_schema_name', GONE),
  '40': called('transaction_rollback', REPEAT), // serialization_failure, deadlock_detected
  '42501': called('insufficient_privilege', FORBIDDEN),
  '42501/check_enable_rls': called('insufficient_privilege: row-level security', HIDDEN),
  '42703': called('undefined_column', ALTERED),
  '42704': called('undefined_object', ALTERED), // a type or a collation
  '42725': called('ambiguous_function', ALTERED),
  '42804': called('datatype_mismatch', ALTERED),
  '42809': called('wrong_object_type', ALTERED), // a table that is a view now
  '42846': called('cannot_coerce', ALTERED),
  '42883': called('undefined_function', ALTERED), // an operator for types that were changed
  '42P01': called('undefined_table', GONE),
  '42P05': called('duplicate_prepared_statement', POOLER),
  '42P17': called('invalid_object_definition', HIDDEN), // policies that refer to one another
  '42P21': called('collation_mismatch', ALTERED),
  '42P22': called('indeterminate_collation', ALTERED),
  '44000': called('with_check_option_violation', HIDDEN),
  '53': called('insufficient_resources', BUSY),
  '53100': called('disk_full', DISK_FULL),
  '53400': called('configuration_limit_exceeded', LIMIT),
  '54': called('program_limit_exceeded', LIMIT),
  '55000': called('object_not_in_prerequisite_state', READ_ONLY), // positions of the log asked of a standby
  '55006': called('object_in_use', LOCKED),
  '55P02': called('cant_change_runtime_param', LIMIT),
  '55P03': called('lock_not_available', LOCKED),
  '55P04': called('unsafe_new_enum_value_usage', REPEAT),
  '57014': called('query_canceled', CANCELLED), // statement_timeout, or a person
  '57P01': called('admin_shutdown', RESTARTING),
  '57P02': called('crash_shutdown', RESTARTING),
  '57P03': called('cannot_connect_now', RESTARTING),
  '57P04': called('database_dropped', NO_DATABASE),
  '57P05': called('idle_session_timeout', TIMED_OUT),
  '58': called('system_error', BROKEN), // io_error, undefined_file
  '72000': called('snapshot_too_old', REPEAT),
  F0: called('config_file_error', INTERNAL),
  HV: called('fdw_error', EXTENSION),
  P0: called('plpgsql_error', RAISED),
  XX: called('internal_error', INTERNAL),
  XX001: called('data_corrupted', BROKEN),
  XX002: called('index_corrupted', BROKEN),
};

/** @param routine the C function that raised it, as the server says */
export function sqlstateMeaning(code: string, routine?: string): Sqlstate | undefined {
  for (const key of [`${code}/${routine}`, code, code.slice(0, 2)])
    if (Object.hasOwn(SQLSTATES, key)) return SQLSTATES[key];
  return undefined;
}

/** The server could not be reached, or did not answer. */
export const POSTGRES_UNAVAILABLE: Meaning = UNAVAILABLE;
