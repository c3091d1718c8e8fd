import { createHash } from 'node:crypto';
import { readDatabaseIdentity } from '../connect/database-identity.js';
import type { Queryable } from '../connect/queryable.js';
import type { Deployment } from '../domain/deployment.js';

/**
 * Who we are: the identity of the source database and the pipeline.
 * @param pg a connection to the source, wherever the ledger lies
 * @throws Failure `SourceUnavailable` and its like
 */
export async function readDeployment(pg: Queryable, pipeline: string): Promise<Deployment> {
  const { server, oid, database } = await readDatabaseIdentity(pg);
  const id = createHash('sha256')
    .update(JSON.stringify([server, oid, pipeline]))
    .digest('hex')
    .slice(0, 8);
  return { id, pipeline, database };
}
