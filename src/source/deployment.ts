import { createHash } from 'node:crypto';
import type { Queryable } from '../connect/queryable.js';
import type { Deployment } from '../domain/deployment.js';
import { classifyPostgres } from '../failure/classify-postgres.js';

/**
 * Who we are: the identity of the source database and the pipeline. A clone of the files of a server has the same one; a
 * database that was dumped and restored, copied within its server, or upgraded by pg_upgrade has another.
 * @param pg a connection to the source
 * @throws Failure `SourceUnavailable` and its like
 */
export async function readDeployment(pg: Queryable, pipeline: string): Promise<Deployment> {
  try {
    const found = await pg.query<{ server: string; oid: string; database: string }>(/* sql */ `
      select (select system_identifier::text from pg_catalog.pg_control_system()) as server,
        d.oid::text as oid, d.datname::text as database
      from pg_catalog.pg_database d where d.datname = current_database()`);
    const [row] = found.rows;
    if (row === undefined) throw new Error('pg_database has no row for the current database');
    const id = createHash('sha256')
      .update(JSON.stringify([row.server, row.oid, pipeline]))
      .digest('hex')
      .slice(0, 8);
    return { id, pipeline, database: row.database };
  } catch (error) {
    throw classifyPostgres(error, 'reading the identity of the server');
  }
}
