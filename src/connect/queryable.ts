import type { ClientBase, Pool } from 'pg';

/** A connection for statements that stand alone: a pool does as well as a client. */
export type Queryable = Pick<ClientBase | Pool, 'query'>;
