import { setTimeout as sleep } from 'node:timers/promises';
import { DatabaseError } from 'pg';
import type { Queryable } from '../../connect/queryable.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { THEN_GO_ON } from '../../failure/remedies.js';
import { walRoleScript } from '../../package-root.js';
import { describeHolders, endHolder, type LockHolder } from '../lock-holders.js';
import { parseLsn, type Lsn } from './lsn.js';
import { makeOnStandby, WAL_END, type SlotPlaces } from './slot-server.js';

const PLUGIN = 'pgoutput';
/** PostgreSQL makes a slot when every transaction has ended that had written something, in any database of the server. */
const MAKE_MS = 60_000;
/** A reader whose process was terminated has gone by then. */
const DROP_MS = 10_000;
const DROP_EVERY_MS = 100;
const COPY_MS = 45_000;

/** The first `server_version_num` with failover slots. A standby copies them if it is set up to; without one they cost nothing. */
const KNOWS_FAILOVER = 170_000;

const CANCELLED = '57014';
const FORBIDDEN = '42501';
const NO_PLACE = '53400';
const IN_USE = '55006';
const UNDEFINED = '42704';
const WRONG_LEVEL = '55000';

/** A replication slot as PostgreSQL has it. */
export interface SlotState {
  readonly plugin: string;
  readonly database: string;
  /** Of the process that reads it; null while nobody does. */
  readonly pid: number | null;
  /** `wal_status`: `lost` when PostgreSQL has thrown away WAL that it needs. */
  readonly status: string;
  /** Why it was given up, PostgreSQL 17 and later. */
  readonly reason: string | null;
  /** What was acknowledged. */
  readonly confirmed: Lsn;
  /** Bytes of WAL that PostgreSQL keeps for it; null where that is not known any more. */
  readonly retainedBytes: number | null;
  /** A standby's copy of the slot of its primary, which nobody may read. */
  readonly isCopy: boolean;
}

/** @returns undefined where there is no such slot */
export async function readSlot(pg: Queryable, name: string): Promise<SlotState | undefined> {
  const found = await pg.query<
    Omit<SlotState, 'confirmed' | 'retainedBytes'> & { confirmed: string; kept: string | null }
  >(
    /* sql */ `select s.plugin::text, s.database::text, s.active_pid as pid, coalesce(s.wal_status, '') as status,
        to_jsonb(s) ->> 'invalidation_reason' as reason, coalesce(s.confirmed_flush_lsn, '0/0')::text as confirmed,
        (${WAL_END} - s.restart_lsn)::text as kept,
        coalesce((to_jsonb(s) ->> 'synced')::boolean, false) and pg_catalog.pg_is_in_recovery() as "isCopy"
      from pg_catalog.pg_replication_slots s where s.slot_name = $1`,
    [name],
  );
  const [row] = found.rows;
  if (row === undefined) return undefined;
  const { confirmed, kept, ...state } = row;
  return { ...state, confirmed: parseLsn(confirmed), retainedBytes: kept === null ? null : Number(kept) };
}

/** Why nothing can be read from a slot any more, as the end of a sentence; undefined where it can. */
export function flawOfSlot(slot: SlotState | undefined): string | undefined {
  if (slot === undefined) return 'is gone';
  if (slot.plugin !== PLUGIN) return `was made by somebody else, for ${slot.plugin}`;
  if (slot.isCopy) return 'is the copy of a slot of the primary';
  if (slot.reason !== null) return `was given up by PostgreSQL (${slot.reason})`;
  return slot.status === 'lost' ? 'has lost WAL that it needs' : undefined;
}

/**
 * @param places connections of their own, outside of transactions
 * @returns from where on it has every change
 * @throws Failure `LockTimeout` names the transactions that it waits for; `Misconfigured`, `Unauthorized`
 */
export async function makeSlot(places: SlotPlaces, name: string): Promise<string> {
  if (places.slots === places.source) return makeThere(places, name);
  await waitUntilUncopied(places.slots, name);
  return makeOnStandby(places, () => makeThere(places, name));
}

async function makeThere({ source, slots: pg }: SlotPlaces, name: string): Promise<string> {
  try {
    await pg.query(/* sql */ `set statement_timeout = ${MAKE_MS}`);
    const version = await pg.query<{ number: number; standby: boolean }>(
      /* sql */ `select pg_catalog.current_setting('server_version_num')::int as number, pg_catalog.pg_is_in_recovery() as standby`,
    );
    const { number, standby } = version.rows[0] ?? { number: 0, standby: false };
    const failover = number >= KNOWS_FAILOVER && !standby ? ', failover => true' : '';
    const found = await pg.query<{ lsn: string }>(
      /* sql */ `select lsn::text from pg_catalog.pg_create_logical_replication_slot($1, '${PLUGIN}'${failover})`,
      [name],
    );
    return found.rows[0]?.lsn ?? '';
  } catch (error) {
    throw await explainMaking(source, name, error);
  } finally {
    await pg.query(/* sql */ `set statement_timeout = 0`).catch(() => undefined);
  }
}

/** Who reads it is ended first. Idempotent. @throws Failure `LockTimeout` where a reader does not go */
export async function dropSlot(pg: Queryable, name: string): Promise<void> {
  const giveUpAt = Date.now() + DROP_MS;
  for (;;) {
    const slot = await readSlot(pg, name);
    // PostgreSQL drops a copy itself when the slot of the primary is gone.
    if (slot === undefined || slot.isCopy) return;
    if (slot.pid !== null) await pg.query(/* sql */ `select pg_catalog.pg_terminate_backend($1)`, [slot.pid]);
    try {
      await pg.query(/* sql */ `select pg_catalog.pg_drop_replication_slot($1)`, [name]);
      return;
    } catch (error) {
      const code = codeOf(error);
      if (code === UNDEFINED) return;
      if (code !== IN_USE) throw classifyPostgres(error, `dropping the replication slot ${name}`);
      if (Date.now() > giveUpAt)
        throw new Failure('LockTimeout', {
          message: `The replication slot ${name} cannot be dropped: process ${slot.pid} of PostgreSQL reads it.`,
          remedy: `It is tried again by itself. To end who reads it: select pg_terminate_backend(${slot.pid})`,
          cause: error,
        });
    }
    await sleep(DROP_EVERY_MS);
  }
}

/** A standby drops what it has copied some 30 s after the slot of its primary is gone. @throws Failure `LockTimeout` */
async function waitUntilUncopied(pg: Queryable, name: string): Promise<void> {
  const giveUpAt = Date.now() + COPY_MS;
  while ((await readSlot(pg, name))?.isCopy === true) {
    if (Date.now() > giveUpAt)
      throw new Failure('LockTimeout', {
        message: `The standby of PG_WAL_ADDRESS still has a copy of the slot ${name} that the primary had.`,
        remedy: 'It is tried again by itself. A standby drops it while its sync_replication_slots is on.',
      });
    await sleep(DROP_EVERY_MS);
  }
}

async function explainMaking(pg: Queryable, name: string, error: unknown): Promise<Failure> {
  const code = codeOf(error);
  if (code === CANCELLED) {
    const holders = await readWriters(pg);
    const who = holders.length === 0 ? 'transactions that just ended' : describeHolders(holders, new Map());
    return new Failure('LockTimeout', {
      message: `The replication slot ${name} waits for transactions that have written something, in any database of the server: ${who}.`,
      remedy: `It is tried again by itself.${holders.length === 0 ? '' : ` To end the first of them: ${endHolder(holders)}`}`,
      cause: error,
    });
  }
  if (code === FORBIDDEN)
    return new Failure('Unauthorized', {
      message: 'The PostgreSQL role may not read the WAL: it takes the attribute REPLICATION.',
      remedy: `Let an administrator run ${walRoleScript}, then resume. Or remove the table, then add it with --capture outbox.`,
      cause: error,
    });
  if (code === NO_PLACE)
    return new Failure('Misconfigured', {
      message: `PostgreSQL has no place for the replication slot ${name}: all of max_replication_slots are taken.`,
      remedy: 'Raise max_replication_slots and restart PostgreSQL, or drop a slot that nobody uses; then resume.',
      cause: error,
    });
  if (code === WRONG_LEVEL) return wrongLevel(error);
  return classifyPostgres(error, `making the replication slot ${name}`);
}

/** @param level that the server has */
export function wrongLevel(cause?: unknown, level = 'replica'): Failure {
  return new Failure('Misconfigured', {
    message: `PostgreSQL has wal_level = ${level}, and --capture wal takes logical.`,
    remedy: `Run in PostgreSQL: alter system set wal_level = 'logical'; restart it, ${THEN_GO_ON}. Or add it with --capture outbox.`,
    cause,
  });
}

/** Transactions of any database that have written something, the oldest first. */
export async function readWriters(pg: Queryable): Promise<readonly LockHolder[]> {
  const found = await pg.query<LockHolder>(/* sql */ `
    select l.virtualtransaction as id, l.pid, p.gid, coalesce(a.application_name, '') as application,
      coalesce(a.usename, p.owner, '')::text as "user",
      to_char(coalesce(a.xact_start, p.prepared) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as since
    from pg_catalog.pg_locks l
    left join pg_catalog.pg_stat_activity a on a.pid = l.pid
    left join pg_catalog.pg_prepared_xacts p on l.pid is null and p.transaction = l.transactionid
    where l.locktype = 'transactionid' and l.granted and l.pid is distinct from pg_catalog.pg_backend_pid()
    order by coalesce(a.xact_start, p.prepared) nulls last`);
  return found.rows;
}

function codeOf(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.code : undefined;
}
