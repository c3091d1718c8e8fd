import type { QueryResult, QueryResultRow } from 'pg';
import { rowsOfLast, type Queryable } from '../connect/queryable.js';
import { asLedgerFailure, classifyPostgres } from '../failure/classify-postgres.js';
import { Failure } from '../failure/failure.js';

/** One statement of the ledger. @throws Failure, whatever it is that went wrong */
export async function query<Row extends QueryResultRow>(
  pg: Queryable,
  text: string,
  values: readonly unknown[],
): Promise<QueryResult<Row>> {
  try {
    return await pg.query<Row>(text, [...values]);
  } catch (error) {
    throw classify(error);
  }
}

/** Displays must never be what holds a server up. */
const BOUNDED = /* sql */ `set local statement_timeout = '10s'; set local lock_timeout = '1s'; set local enable_seqscan = off`;

/**
 * One statement of a display, bounded in time. Both are one message, and so one transaction: the limits end with it. The
 * statement takes no parameters. @throws Failure as `query`
 */
export async function queryBounded<Row>(pg: Queryable, statement: string): Promise<readonly Row[]> {
  return rowsOfLast(await query(pg, `${BOUNDED}; ${statement}`, []));
}

/** SQLSTATE of a schema or table that is not there. */
const NO_LEDGER: readonly string[] = ['3F000', '42P01'];

/** Whether a statement failed because there is no ledger in this database: nothing was ever replicated. */
export function isMissingLedger(error: unknown): boolean {
  const cause = error instanceof Failure ? (error.cause as { code?: unknown } | undefined) : undefined;
  return NO_LEDGER.includes(String(cause?.code));
}

/** Throws: the stage has another owner now, or its table was removed. */
export function fenced(stage: string): never {
  throw new Failure('Fenced', { message: `Another attempt has claimed the ${stage} stage of this table.` });
}

function classify(error: unknown): Failure {
  const { code } = error as { code?: unknown };
  switch (code) {
    case 'P2C01': // raised by pg2click.advance_outbox
      return new Failure('Fenced', { message: 'Another attempt has claimed this stage of the table.' });
    case 'P2C02': // likewise; its text holds numbers only
      return new Failure('OutboxInconsistent', {
        message: `The outbox of this table lost or gained events by itself: ${(error as Error).message}.`,
        cause: error,
      });
    case '3F000': // invalid_schema_name
    case '42P01': // undefined_table
    case '42883': // undefined_function
      return new Failure('Misconfigured', {
        message: 'The ledger, or an outbox of it (schema pg2click), is not in this PostgreSQL database.',
        remedy:
          'Run "pg2click init" with the same settings; where an outbox was dropped, remove its table and add it again.',
        cause: error,
      });
    case '42703': // undefined_column
    case '42704': // undefined_object
    case '42804': // datatype_mismatch
      return new Failure('Misconfigured', {
        message: 'The ledger (schema pg2click) is of another version than this program.',
        remedy:
          'Run "pg2click init" of the newest version that uses it, restart the workers with that version, then resume the table.',
        cause: error,
      });
    default:
  }
  return asLedgerFailure(classifyPostgres(error, 'using the ledger'));
}
