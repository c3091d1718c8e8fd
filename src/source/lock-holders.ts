import type { Queryable } from '../connect/queryable.js';
import { literal } from '../domain/identifier.js';

/** A transaction that holds a lock in our way. */
export interface LockHolder {
  /** Its virtual transaction: a prepared transaction has no process. */
  readonly id: string;
  readonly pid: number | null;
  readonly application: string;
  /** Empty for a background process of PostgreSQL. */
  readonly user: string;
  /** When its transaction began, ISO 8601; null where PostgreSQL hides it from our role. */
  readonly since: string | null;
  /** Of a prepared transaction. */
  readonly gid: string | null;
}

/** Everything that conflicts with SHARE ROW EXCLUSIVE, which CREATE TRIGGER takes: writers, VACUUM, and DDL of others. */
export const BLOCKS_TRIGGERS: readonly string[] = [
  'RowExclusiveLock',
  'ShareUpdateExclusiveLock',
  'ShareLock',
  'ShareRowExclusiveLock',
  'ExclusiveLock',
  'AccessExclusiveLock',
];

/** Everything that conflicts with SHARE UPDATE EXCLUSIVE, which ALTER PUBLICATION takes: no reader and no writer. */
export const BLOCKS_PUBLISHING: readonly string[] = BLOCKS_TRIGGERS.filter((mode) => mode !== 'RowExclusiveLock');

/** What conflicts with ACCESS SHARE, which reading takes. */
export const BLOCKS_READING: readonly string[] = ['AccessExclusiveLock'];

/** Everything that conflicts with ACCESS EXCLUSIVE, which dropping a trigger takes: readers too. */
export const BLOCKS_DROP: readonly string[] = ['AccessShareLock', 'RowShareLock', ...BLOCKS_TRIGGERS];

/**
 * Who holds one of the relations in one of the modes. It reads `pg_locks`: it waits for nobody, and nobody waits for it.
 * @param relations oids, decimal
 */
export async function readLockHolders(
  pg: Queryable,
  relations: readonly string[],
  modes: readonly string[],
): Promise<readonly LockHolder[]> {
  const found = await pg.query<LockHolder>(
    /* sql */ `
    select distinct on (l.virtualtransaction) l.virtualtransaction as id, l.pid, p.gid,
      coalesce(a.application_name, '') as application, coalesce(a.usename, p.owner, '')::text as "user",
      to_char(coalesce(a.xact_start, p.prepared) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since
    from pg_catalog.pg_locks l
    left join pg_catalog.pg_stat_activity a on a.pid = l.pid
    left join pg_catalog.pg_locks x on l.pid is null and x.pid is null and x.locktype = 'transactionid'
      and x.virtualtransaction = l.virtualtransaction
    left join pg_catalog.pg_prepared_xacts p on p.transaction = x.transactionid
    where l.locktype = 'relation' and l.granted and l.mode = any ($2)
      and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
      and l.relation = any ($1::oid[])
      and l.pid is distinct from pg_backend_pid()
    order by l.virtualtransaction`,
    [relations, modes],
  );
  return found.rows;
}

const NAMED = 3;

/**
 * @param seenSince when each was first seen (`Date.now()`), for those whose beginning is hidden
 * @returns the middle of a sentence: `process 4711 (application "psql", user shop, in a transaction since 2026-11-29T01:24:10Z)`
 */
export function describeHolders(holders: readonly LockHolder[], seenSince: ReadonlyMap<string, number>): string {
  const named = holders.slice(0, NAMED).map((holder) => describeHolder(holder, seenSince.get(holder.id) ?? Date.now()));
  const more = holders.length - named.length;
  return `${named.join('; ')}${more > 0 ? `; and ${more} more` : ''}`;
}

function describeHolder({ pid, application, user, since, gid }: LockHolder, seenMs: number): string {
  if (pid === null) {
    const name = gid === null ? 'a prepared transaction' : `the prepared transaction ${literal(gid)} of user ${user}`;
    return `${name} (no process${since === null ? '' : `, prepared at ${since}`})`;
  }
  const beginning = since === null ? `first seen at ${secondsOf(seenMs)}` : `in a transaction since ${since}`;
  const who = user === '' ? 'of PostgreSQL itself, such as autovacuum' : `application "${application}", user ${user}`;
  return `process ${pid} (${who}, ${beginning})`;
}

function secondsOf(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 19)}Z`;
}

/** How a person ends the first of them. */
export function endHolder([first]: readonly LockHolder[]): string {
  if (first === undefined) return '';
  if (first.pid !== null) return `select pg_terminate_backend(${first.pid})`;
  return first.gid === null ? '' : `commit prepared ${literal(first.gid)}, or rollback prepared ${literal(first.gid)}`;
}
