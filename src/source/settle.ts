import { setTimeout as pause } from 'node:timers/promises';
import { literal } from '../domain/identifier.js';
import { classifyPostgres } from '../failure/classify-postgres.js';
import type { Queryable } from '../connect/queryable.js';
import { ensureFlushed } from './flush.js';
import { describeHolders, readLockHolders } from './lock-holders.js';
import { outboxTable } from './outbox/names.js';

const SHORTEST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 250;
/** Who is waited for is looked up, which takes three more catalogue views, once a wait lasts: most end within milliseconds. */
const NAME_AFTER_MS = 1_000;
const NAME_EVERY_MS = 1_000;

/**
 * A writer holds one of these to the end of its transaction. SHARE UPDATE EXCLUSIVE is not among them: it is
 * what VACUUM holds for hours on a large table, ANALYZE, and indexes made concurrently, none of which changes a row. (To tell
 * who is who, by `pg_stat_activity`, is not for every role.)
 */
const WRITING_MODES: readonly string[] = [
  'RowExclusiveLock',
  'ShareRowExclusiveLock',
  'ExclusiveLock',
  'AccessExclusiveLock',
];

/**
 * Allocates the position of a copy from the outbox's sequence: no event and no other copy has it. It is not read from there: a
 * sequence that has given out nothing yet shows 1, which is also what its first event gets, and the older row would win the tie.
 * It is on disk before it is used: after a crash the sequence never gives it out again.
 * @returns decimal
 */
export async function allocatePosition(pg: Queryable, id: string): Promise<string> {
  try {
    const found = await pg.query<{ position: string }>(
      /* sql */ `select nextval(pg_get_serial_sequence($1, 'seq'))::text as position`,
      [outboxTable(id)],
    );
    await ensureFlushed(pg);
    const position = found.rows[0]?.position;
    if (position === undefined) throw new Error('nextval returned nothing');
    return position;
  } catch (error) {
    throw classifyPostgres(error, 'allocating the position of a copy');
  }
}

/**
 * Waits until everyone has ended who may have changed the table before now: the transactions that hold a writing lock on
 * it, prepared ones included. Then any new snapshot holds all that was captured below a position allocated before the call.
 *
 * They are known by their virtual transaction. A process id would not do: a prepared transaction has none, and its
 * other locks are gone. A writer that comes later is not waited for. After a lost connection it begins again, which is safe: a
 * restart of the server gives prepared transactions other virtual ids.
 * @param relation `pg_class.oid`, decimal
 * @param options `onWait` is called at each look with how many are still waited for; `onHeld` about every second, from the first
 * second on, with who they are (process, application, since when) as the middle of a sentence. `since`: `Date.now()` of the first look
 * @throws the signal's reason; Failure `SourceUnavailable` and its like
 */
export async function settle(
  pg: Queryable,
  relation: string,
  options: {
    readonly signal: AbortSignal;
    readonly onWait?: (holders: number, since: number) => void;
    readonly onHeld?: (who: string, since: number) => void;
  },
): Promise<void> {
  const { signal, onWait, onHeld } = options;
  const since = Date.now();
  let nameAt = since + NAME_AFTER_MS;
  try {
    let holders = await readHolders(pg, relation);
    let pauseMs = SHORTEST_PAUSE_MS;
    while (holders.length > 0) {
      onWait?.(holders.length, since);
      await pause(pauseMs, undefined, { signal });
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      const now = new Set(await readHolders(pg, relation));
      holders = holders.filter((holder) => now.has(holder));
      if (onHeld === undefined || holders.length === 0 || Date.now() < nameAt) continue;
      onHeld(await nameHolders(pg, relation, holders, since), since);
      nameAt = Date.now() + NAME_EVERY_MS;
    }
  } catch (error) {
    signal.throwIfAborted();
    throw classifyPostgres(error, 'waiting for the writers of the table');
  }
}

/** @param holders virtual transactions, all of them seen since `since` at least */
async function nameHolders(
  pg: Queryable,
  relation: string,
  holders: readonly string[],
  since: number,
): Promise<string> {
  const found = await readLockHolders(pg, await readFamily(pg, relation), WRITING_MODES);
  const seenSince = new Map(holders.map((holder) => [holder, since]));
  const named = found.filter(({ id }) => seenSince.has(id));
  return named.length === 0 ? `${holders.length} transactions that just ended` : describeHolders(named, seenSince);
}

/** The table and, where it has any, its children. */
const familySql = (relation: string): string => /* sql */ `with recursive family (oid) as (
      select ${literal(relation)}::oid
      union
      select i.inhrelid from family join pg_catalog.pg_inherits i on i.inhparent = family.oid
    )`;

async function readFamily(pg: Queryable, relation: string): Promise<string[]> {
  const found = await pg.query<{ oid: string }>(
    /* sql */ `${familySql(relation)} select family.oid::text as oid from family`,
  );
  return found.rows.map(({ oid }) => oid);
}

/** The virtual transactions that hold the table or its children. */
async function readHolders(pg: Queryable, relation: string): Promise<string[]> {
  const found = await pg.query<{ holder: string }>(holdersSql(relation));
  return found.rows.map((row) => row.holder);
}

/** The virtual transactions that hold a writing lock on the table or its children, as `holder`. */
export function holdersSql(relation: string): string {
  return /* sql */ `${familySql(relation)}
    select distinct l.virtualtransaction as holder
    from pg_catalog.pg_locks l
    where l.locktype = 'relation' and l.granted and l.mode in (${WRITING_MODES.map(literal).join(', ')})
      and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
      and l.relation in (select family.oid from family)
      and l.pid is distinct from pg_backend_pid()`;
}
