import type { Queryable } from '../connect/queryable.js';
import { queryBounded } from '../ledger/query.js';

/** @returns the xid of the oldest open transaction that has one, in any database of the server; null without one */
export async function readOldestTransaction(pg: Queryable): Promise<string | null> {
  const [row] = await queryBounded<{ xid: string | null }>(
    pg,
    /* sql */ `select case when pg_snapshot_xmin(s) < pg_snapshot_xmax(s) then pg_snapshot_xmin(s)::text end as xid
      from pg_current_snapshot() s`,
  );
  return row?.xid ?? null;
}
