import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../../connect/queryable.js';
import { Failure } from '../../failure/failure.js';

/** The first `server_version_num` in which a standby decodes. */
const STANDBY_DECODES = 160_000;
/** A standby that is a minute behind is not one to read from. */
const REPLAY_MS = 60_000;
const LOOK_MS = 100;
/** Who may not log it waits for PostgreSQL, which does so every 15 s. */
const SNAPSHOT_MS = 500;

/** Where the tables and our rows are, and where the slot is: one server, or a standby of it. */
export interface SlotPlaces {
  readonly source: Queryable;
  /** The same as `source`, where the slot is there. */
  readonly slots: Queryable;
}

/** The end of the WAL as the server has it: what it has written, or replayed. */
export const WAL_END = /* sql */ `(case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_lsn() end)`;

/**
 * A slot on a server that is another primary would send the changes of other rows. One that was promoted, and is the server of the tables by now, is
 * the same: its process began at the same moment.
 * @throws Failure `SourceUnavailable`
 */
export async function requireStandby({ source, slots }: SlotPlaces): Promise<void> {
  if (slots === source) return;
  const look = /* sql */ `select pg_catalog.pg_is_in_recovery() as standby, extract(epoch from pg_catalog.pg_postmaster_start_time())::text as began`;
  const there = (await slots.query<{ standby: boolean; began: string }>(look)).rows[0];
  if (there?.standby === true) return;
  const here = (await source.query<{ began: string }>(look)).rows[0];
  if (here?.began === there?.began) return;
  throw new Failure('SourceUnavailable', {
    message: 'The server of PG_WAL_ADDRESS is no standby any more, and is not the server of the tables.',
    remedy: 'Let PG_HOST name the primary, and PG_WAL_ADDRESS a standby of it; then restart the workers.',
  });
}

interface SystemIdentity {
  readonly systemid: string;
  readonly timeline: number;
}

/** @param pg a connection that was opened for replication: `pg_control_checkpoint` of a server that was promoted still has the timeline before */
export async function identifySystem(pg: Queryable): Promise<SystemIdentity> {
  const [row] = (await pg.query<SystemIdentity>('IDENTIFY_SYSTEM')).rows;
  return { systemid: String(row?.systemid), timeline: Number(row?.timeline) };
}

/** @throws Failure `Misconfigured` */
export async function requireVersion(slots: Queryable): Promise<void> {
  const found = await slots.query<{ number: number }>(
    /* sql */ `select pg_catalog.current_setting('server_version_num')::int as number`,
  );
  if ((found.rows[0]?.number ?? 0) >= STANDBY_DECODES) return;
  throw new Failure('Misconfigured', {
    message: 'The server of PG_WAL_ADDRESS is a standby of a PostgreSQL before 16, which does not decode.',
    remedy: 'Leave PG_WAL_ADDRESS out, restart the workers, then resume.',
  });
}

/**
 * A standby that follows another primary, or has not seen yet that another one took over, has other WAL under the same positions.
 * @param there of the server that the slot is read from
 * @throws Failure `Misconfigured`, `SourceUnavailable`
 */
export async function requireSameHistory({ source, slots }: SlotPlaces, there: SystemIdentity): Promise<void> {
  if (slots === source) return;
  const [here] = (
    await source.query<{ systemid: string; timeline: number }>(/* sql */ `select system_identifier::text as systemid,
        ('x' || left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8))::bit(32)::int as timeline
      from pg_catalog.pg_control_system()`)
  ).rows;
  if (here?.systemid !== there.systemid)
    throw new Failure('Misconfigured', {
      message: 'The server of PG_WAL_ADDRESS is not a standby of that of PG_HOST: it is another cluster.',
      remedy: 'Let PG_WAL_ADDRESS name a standby of that server, restart the workers, then resume.',
    });
  if (here.timeline === there.timeline) return;
  throw new Failure('SourceUnavailable', {
    message: `The standby of PG_WAL_ADDRESS is on timeline ${there.timeline}, and the primary on ${here.timeline}.`,
    remedy: 'Look whether it follows that primary. The tables go on by themselves when it does.',
  });
}

/**
 * A slot of a standby begins where that has come to, and needs a record of the running transactions that comes after that. What is published by now has
 * to be there: changes from before a publication cannot be decoded.
 * @param make makes the slot
 * @throws Failure `Misconfigured`, `SourceUnavailable`; what `make` throws
 */
export async function makeOnStandby<T>({ source, slots }: SlotPlaces, make: () => Promise<T>): Promise<T> {
  await requireStandby({ source, slots });
  await requireVersion(slots);
  await waitForReplay({ source, slots });
  const made = make();
  let isOver = false;
  made.finally(() => (isOver = true)).catch(() => undefined);
  while (!isOver) {
    await source.query(/* sql */ `select pg_catalog.pg_log_standby_snapshot()`).catch(() => undefined);
    await Promise.race([made, sleep(SNAPSHOT_MS)]).catch(() => undefined);
  }
  return made;
}

async function waitForReplay({ source, slots }: SlotPlaces): Promise<void> {
  const found = await source.query<{ lsn: string }>(
    /* sql */ `select pg_catalog.pg_current_wal_flush_lsn()::text as lsn`,
  );
  const until = Date.now() + REPLAY_MS;
  for (;;) {
    const [row] = (
      await slots.query<{ has: boolean }>(/* sql */ `select ${WAL_END} >= $1::pg_lsn as has`, [found.rows[0]?.lsn])
    ).rows;
    if (row?.has === true) return;
    if (Date.now() > until)
      throw new Failure('SourceUnavailable', {
        message: `The standby of PG_WAL_ADDRESS has not replayed in ${REPLAY_MS / 1_000} s what the primary has written.`,
        remedy: 'Look at its replication. It is tried again by itself.',
      });
    await sleep(LOOK_MS);
  }
}
