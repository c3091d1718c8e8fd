import type { ClientBase, Pool, QueryResult } from 'pg';

/** A connection for statements that stand alone: a pool does as well as a client. */
export type Queryable = Pick<ClientBase | Pool, 'query'>;

/** What the last statement of a message of several has found. */
export function rowsOfLast<Row>(results: unknown): readonly Row[] {
  return rowsOf(results, -1);
}

/**
 * `pg` answers a message of several statements with a result of each, which its types do not know.
 * @param index of the statement; negative from the end, as in `at`
 */
export function rowsOf<Row>(results: unknown, index: number): readonly Row[] {
  return ((results as readonly QueryResult[]).at(index)?.rows ?? []) as Row[];
}
