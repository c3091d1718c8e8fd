import type { Queryable } from '../../connect/queryable.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { Failure } from '../../failure/failure.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { ownRows } from '../outbox/names.js';

/** SQLSTATE classes of a condition that PostgreSQL does not understand: syntax and names, types, values. */
const OF_CONDITION = /^(?:42(?!501|P01)|22|0A|2F)/u;

/** A condition in parentheses. The newline ends a comment. */
export function whereSql(condition: string): string {
  return `(${condition}\n)`;
}

/** What ends a copy because its condition fails for a row, or is none any more; undefined for anything else. */
export function whereFailure(condition: string | undefined, error: unknown): Failure | undefined {
  const { code } = error as { readonly code?: string };
  if (condition === undefined || code === undefined || !OF_CONDITION.test(code)) return undefined;
  return new Failure('Misconfigured', {
    message: `The condition of --where fails for a row (SQLSTATE ${code}).`,
    remedy: 'Cancel the backfill (pg2click backfill TABLE --cancel), and give a condition that no row fails.',
    cause: error,
  });
}

/**
 * Lets PostgreSQL judge a condition, without reading a row.
 * @throws Failure `Misconfigured` with PostgreSQL's own sentence
 */
export async function checkWhere(pg: Queryable, table: ReplicatedTable, condition: string): Promise<void> {
  try {
    // With a parameter it is one statement, whatever is in the text.
    await pg.query(/* sql */ `select from ${ownRows(table)} source where ${whereSql(condition)} limit $1`, [0]);
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message?: string };
    if (code === undefined || !OF_CONDITION.test(code)) throw classifyPostgres(error, 'checking a condition');
    throw new Failure('Misconfigured', {
      message: `PostgreSQL does not take the condition of --where: ${message ?? ''}.`,
      logged: `PostgreSQL does not take the condition of --where (SQLSTATE ${code}).`,
      remedy: 'Give a condition on the columns of the table, for example --where "created_at >= \'2026-01-01\'".',
    });
  }
}
