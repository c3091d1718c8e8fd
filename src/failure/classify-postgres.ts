import { DatabaseError } from 'pg';
import { explainTls } from './explain-tls.js';
import { Failure } from './failure.js';
import type { FailureKind } from './kinds.js';
import { LOST_CONNECTIONS, NODE_CODES } from './node-codes.js';
import { POSTGRES_UNAVAILABLE, sqlstateMeaning, type Sqlstate } from './sqlstates.js';

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
  const { kind, sentence, remedy } = meaningOf(error);
  const message = `${sentence}${deniedObject(error)} while ${what}.`;
  return new Failure(kind, { message, remedy, cause: error, server: 'postgresql' });
}

/** ` on table orders`, where the server says so in English. It holds the name of an object alone. */
function deniedObject(error: unknown): string {
  if (!(error instanceof DatabaseError) || error.routine !== 'aclcheck_error') return '';
  const object = /^permission denied for ([a-z][a-z ]*? \S[^]*)$/u.exec(error.message)?.[1];
  return object === undefined ? '' : ` on ${object}`;
}

/** Kinds that speak of a table of the user's, which the ledger has none of. */
const OF_TABLES: readonly FailureKind[] = ['MissingTable', 'SourceChanged', 'UnsuitableTable'];

/** The same of the database that the ledger lies in: a kind of its own, because it holds up all tables. */
export function asLedgerFailure(failure: Failure): Failure {
  const { kind, message, remedy, cause } = failure;
  if (kind === 'SourceUnavailable') return new Failure('LedgerUnavailable', { message, remedy, cause });
  if (OF_TABLES.includes(kind)) return new Failure('Unexpected', { message, cause, server: 'ledger' });
  return new Failure(kind, { message, remedy, cause, server: 'ledger' });
}

function meaningOf(error: unknown): Omit<Sqlstate, 'name'> {
  const code = codeOf(error);
  if (error instanceof DatabaseError && code !== undefined)
    return (
      sqlstateMeaning(code, error.routine) ?? {
        kind: 'Unexpected',
        sentence: `PostgreSQL answered with SQLSTATE ${code}`,
      }
    );
  if (code !== undefined && Object.hasOwn(NODE_CODES, code)) return POSTGRES_UNAVAILABLE;
  if (error instanceof AggregateError) return error.errors.map(meaningOf)[0] ?? POSTGRES_UNAVAILABLE;
  if (error instanceof Error && LOST_CONNECTIONS.includes(error.message)) return POSTGRES_UNAVAILABLE;
  return { kind: 'Unexpected', sentence: 'Something unexpected happened' };
}

function codeOf(error: unknown): string | undefined {
  const code: unknown = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}
