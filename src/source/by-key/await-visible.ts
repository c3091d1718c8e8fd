import { setTimeout as pause } from 'node:timers/promises';
import type { Queryable } from '../../connect/queryable.js';
import { Failure } from '../../failure/failure.js';

const SHORTEST_PAUSE_MS = 2;
const LONGEST_PAUSE_MS = 250;
/** Transactions that commit at this moment may be ahead of the newest that has ended, but not by so many. */
const MOST_AHEAD = 1_000_000;

/** A number of 32 bits is that of the transaction nearest to the newest one. */
const INVISIBLE = /* sql */ `with now as (
    select pg_catalog.pg_current_snapshot() as snapshot,
      pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint as newest
  ), wanted as (
    select now.snapshot, now.newest, ((now.newest >> 32) << 32) + (number & 4294967295) as xid
    from now, pg_catalog.unnest($1::bigint[]) number
  ), near as (
    select snapshot, newest, case
      when xid - newest > 2147483648 and xid >= 4294967296 then xid - 4294967296
      when newest - xid > 2147483648 then xid + 4294967296
      else xid end as xid
    from wanted
  )
  select count(*)::int as count, max(xid - newest)::text as ahead from near
  where not pg_catalog.pg_visible_in_snapshot(xid::text::pg_catalog.xid8, snapshot)`;

/**
 * Waits until transactions are visible. Logical decoding sends a commit as soon as it is in the WAL; other sessions see it a moment later,
 * and with synchronous replication when a standby has confirmed it. A row that is read in between is the one of before, or none.
 * @param transactions 32 bits each
 * @throws the signal's reason; Failure `WrongWorker` for transactions that this server cannot have
 */
export async function awaitVisible(
  pg: Queryable,
  transactions: readonly number[],
  { signal, onWait }: { readonly signal: AbortSignal; readonly onWait: () => void },
): Promise<void> {
  for (let pauseMs = SHORTEST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const found = await pg.query<{ count: number; ahead: string | null }>(INVISIBLE, [transactions]);
    const [{ count, ahead } = { count: 0, ahead: null }] = found.rows;
    if (count === 0) return;
    if (Number(ahead) > MOST_AHEAD)
      throw new Failure('WrongWorker', {
        message:
          'The messages have transactions that this PostgreSQL server has not had yet: they are of another server.',
        remedy: 'Let PG_HOST and PG_PORT of this worker lead to the server that the connector reads.',
      });
    onWait();
    await pause(pauseMs, undefined, { signal });
  }
}
