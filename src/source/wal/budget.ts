import { BUDGET_WARN_FROM, count, megabytes } from '../../domain/figures.js';
import type { Queryable } from '../../connect/queryable.js';
import { outboxTable } from '../outbox/names.js';
import { readSlot } from './slot.js';
import type { SlotPlaces } from './slot-server.js';

/** What PostgreSQL keeps on its disk for the tables behind a slot. */
export interface Kept {
  /** WAL, for the slot. */
  readonly walBytes: number;
  /** The outboxes of those that are not detached. */
  readonly outboxes: readonly KeptOutbox[];
}

interface OutboxFiles {
  readonly id: string;
  /** Of its files: VACUUM does not cut them. */
  readonly bytes: number;
  /** That are not moved yet, as the statistics of PostgreSQL have them. */
  readonly events: number;
}

export interface KeptOutbox extends OutboxFiles {
  /** Of these events. The rest is the room of those that were moved. */
  readonly waitingBytes: number;
}

/** Some 1 MB: to take such a table out would give nothing back. */
const FEW_EVENTS = 10_000;
/** The newest of an outbox, and what one takes beside its columns: a pointer, and an entry of the index. */
const SAMPLE = 100;
const EVENT_BYTES = 32;

/** PostgreSQL locks what it measures, and waits for who has locked it: such an outbox counts as empty. */
const BYTES = /* sql */ `case when exists (
    select from pg_catalog.pg_locks l where l.relation = o.oid and l.mode = 'AccessExclusiveLock' and l.granted
      and l.database = (select oid from pg_catalog.pg_database where datname = current_database()))
  then 0 else coalesce(pg_catalog.pg_total_relation_size(o.oid), 0) end`;

/** @param source a connection that does not wait long for a lock */
export async function readKept({ source, slots }: SlotPlaces, name: string): Promise<Kept> {
  const slot = await readSlot(slots, name);
  const found = await source.query<OutboxFiles>(
    /* sql */ `select t.table_id::text as id, (${BYTES})::float8 as bytes,
        coalesce(pg_catalog.pg_stat_get_live_tuples(o.oid), 0)::float8 as events
      from pg2click.wal_table t
      cross join lateral (select pg_catalog.to_regclass('pg2click.outbox_' || t.table_id) as oid) o
      where t.slot = $1 and t.detached is null`,
    [name],
  );
  const outboxes: KeptOutbox[] = [];
  for (const files of found.rows) outboxes.push({ ...files, waitingBytes: await readWaiting(source, files) });
  return { walBytes: slot?.retainedBytes ?? 0, outboxes };
}

async function readWaiting(source: Queryable, { id, bytes, events }: OutboxFiles): Promise<number> {
  if (events < FEW_EVENTS || bytes === 0) return 0;
  const found = await source.query<{
    width: number;
  }>(/* sql */ `select coalesce(avg(pg_catalog.pg_column_size(event)), 0)::float8 as width
      from (select * from ${outboxTable(id)} order by seq desc limit ${SAMPLE}) event`);
  return Math.min(bytes, events * ((found.rows[0]?.width ?? 0) + EVENT_BYTES));
}

export type Verdict =
  | { readonly is: 'within' }
  | { readonly is: 'near'; readonly sentence: string }
  /** @param why the end of a sentence; undefined where the WAL is what takes it */
  | { readonly is: 'held by none'; readonly sentence: string; readonly why?: string }
  /** @param why the end of a sentence */
  | { readonly is: 'held by'; readonly id: string; readonly why: string };

/**
 * What to do about a budget: what takes the larger part of it decides. Where that is the outboxes, the table goes of which most waits in its own.
 * Where it is the WAL, a table goes only if it is known to hold up the reader: all others are read, and to take one out would keep nothing
 * back. Nor would it give back the room that an outbox has kept since it was full: no table goes for that.
 * @param held the table whose outbox could not be written the last time
 */
export function judge({ walBytes, outboxes }: Kept, budget: number, held: string | undefined): Verdict {
  const outboxBytes = outboxes.reduce((sum, { bytes }) => sum + bytes, 0);
  const waitingBytes = outboxes.reduce((sum, each) => sum + each.waitingBytes, 0);
  const taken = walBytes + outboxBytes;
  const sentence = `PostgreSQL keeps ${megabytes(walBytes)} of WAL and outboxes of ${megabytes(outboxBytes)}, of a budget of ${megabytes(budget)}`;
  if (taken <= budget) return taken > budget * BUDGET_WARN_FROM ? { is: 'near', sentence } : { is: 'within' };
  if (walBytes + waitingBytes <= budget) return { is: 'held by none', sentence, why: describeRoom(outboxes) };
  if (waitingBytes < walBytes) {
    const known = outboxes.find(({ id }) => id === held);
    if (known === undefined) return { is: 'held by none', sentence };
    return { is: 'held by', id: known.id, why: `its outbox could not be written, and ${sentence}` };
  }
  const [fullest] = outboxes.toSorted((a, b) => b.waitingBytes - a.waitingBytes);
  if (fullest === undefined) return { is: 'held by none', sentence };
  const { id, bytes, events } = fullest;
  return {
    is: 'held by',
    id,
    why: `its outbox of ${megabytes(bytes)} had most events, ${count(events)}, and ${sentence}`,
  };
}

/** @returns the end of a sentence */
function describeRoom(outboxes: readonly KeptOutbox[]): string {
  const roomOf = ({ bytes, waitingBytes }: KeptOutbox): number => bytes - waitingBytes;
  const [roomiest] = outboxes.toSorted((a, b) => roomOf(b) - roomOf(a));
  if (roomiest === undefined) return 'nothing waits';
  return `pg2click.outbox_${roomiest.id} keeps ${megabytes(roomOf(roomiest))} of room for events that were moved, which VACUUM FULL of it gives back`;
}
