import type { Queryable } from './queryable.js';

/** The two places in PostgreSQL that a table needs: often one database, and then the same connection or pool. */
export interface Databases {
  /** Of the ledger. */
  readonly ledger: Queryable;
  /** Of the tables and their outboxes. */
  readonly source: Queryable;
  /** Of the replication slots, where that is another server than that of the tables. */
  readonly slots?: Queryable | undefined;
}
