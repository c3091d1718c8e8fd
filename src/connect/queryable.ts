import type { ClientBase, Pool, QueryResult } from 'pg';

/** A connection for statements that stand alone: a pool does as well as a client. */
export type Queryable = Pick<ClientBase | Pool, 'query'>;

/** What the last statement of a message of several has found: `pg` answers with a result of each, which its types do not know. */
export function rowsOfLast<Row>(results: unknown): readonly Row[] {
  return ((results as readonly QueryResult[]).at(-1)?.rows ?? []) as Row[];
}
