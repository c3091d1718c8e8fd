import { classifyPostgres } from '../failure/classify-postgres.js';
import type { Queryable } from './queryable.js';

/**
 * A database of PostgreSQL, whatever its address. A clone of the files of a server has the same one; a database that was dumped
 * and restored, copied within its server, or upgraded by pg_upgrade has another.
 */
export interface DatabaseIdentity {
  /** System identifier of the server, decimal. */
  readonly server: string;
  /** Of the database, decimal. */
  readonly oid: string;
  /** Name of the database, for sentences: it may change. */
  readonly database: string;
}

/** @throws Failure `SourceUnavailable` and its like */
export async function readDatabaseIdentity(pg: Queryable): Promise<DatabaseIdentity> {
  try {
    const found = await pg.query<DatabaseIdentity>(/* sql */ `
      select (select system_identifier::text from pg_catalog.pg_control_system()) as server,
        d.oid::text as oid, d.datname::text as database
      from pg_catalog.pg_database d where d.datname = current_database()`);
    const [row] = found.rows;
    if (row === undefined) throw new Error('pg_database has no row for the current database');
    return row;
  } catch (error) {
    throw classifyPostgres(error, 'reading the identity of the server');
  }
}
