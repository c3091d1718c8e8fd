import type { Queryable } from '../../connect/queryable.js';
import { parseLsn, type Lsn } from './lsn.js';

/** The end of the WAL that is on the disk of PostgreSQL: what lies behind it is not sent yet. @throws the error of PostgreSQL */
export async function readWalEnd(pg: Queryable): Promise<Lsn> {
  const found = await pg.query<{ lsn: string }>(/* sql */ `select pg_catalog.pg_current_wal_flush_lsn()::text as lsn`);
  return parseLsn(found.rows[0]?.lsn ?? '0/0');
}
