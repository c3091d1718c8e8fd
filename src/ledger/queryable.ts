import type { ClientBase, Pool } from 'pg';

/** What the ledger needs of a connection: every statement of it stands alone, so a pool does as well as a client. */
export type Queryable = Pick<ClientBase | Pool, 'query'>;
