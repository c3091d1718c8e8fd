import type { Queryable } from '../../connect/queryable.js';
import { BUDGET_WARN_FROM, megabytes } from '../../domain/figures.js';

/** What PostgreSQL keeps on its disk for the tables behind a slot. */
export interface Kept {
  /** WAL, for the slot. */
  readonly walBytes: number;
  /** The outboxes of those that are not detached. */
  readonly outboxes: readonly { readonly id: string; readonly bytes: number }[];
}

export async function readKept(pg: Queryable, slot: string): Promise<Kept> {
  const found = await pg.query<{ wal: string; outboxes: Kept['outboxes'] }>(
    /* sql */ `select coalesce(pg_catalog.pg_current_wal_lsn() - s.restart_lsn, 0)::text as wal, coalesce((
        select jsonb_agg(jsonb_build_object('id', t.table_id::text, 'bytes', coalesce(pg_catalog.pg_total_relation_size(pg_catalog.to_regclass('pg2click.outbox_' || t.table_id)), 0)))
        from pg2click.wal_table t where t.slot = s.slot_name and t.detached is null), '[]') as outboxes
      from pg_catalog.pg_replication_slots s where s.slot_name = $1`,
    [slot],
  );
  const [{ wal, outboxes } = { wal: '0', outboxes: [] }] = found.rows;
  return { walBytes: Number(wal), outboxes };
}

export type Verdict =
  | { readonly is: 'within' }
  | { readonly is: 'near' | 'held by none'; readonly sentence: string }
  /** @param why the end of a sentence */
  | { readonly is: 'held by'; readonly id: string; readonly why: string };

/**
 * What to do about a budget: what takes the larger part of it decides. Where that is the outboxes, the table with the largest one goes.
 * Where it is the WAL, a table goes only if it is known to hold up the reader: all others are read, and to take one out would keep nothing
 * back.
 * @param held the table whose outbox could not be written the last time
 */
export function judge({ walBytes, outboxes }: Kept, budget: number, held: string | undefined): Verdict {
  const outboxBytes = outboxes.reduce((sum, { bytes }) => sum + bytes, 0);
  const taken = walBytes + outboxBytes;
  const sentence = `PostgreSQL keeps ${megabytes(walBytes)} of WAL and outboxes of ${megabytes(outboxBytes)}, of a budget of ${megabytes(budget)}`;
  if (taken <= budget) return taken > budget * BUDGET_WARN_FROM ? { is: 'near', sentence } : { is: 'within' };
  if (outboxBytes < walBytes) {
    const known = outboxes.find(({ id }) => id === held);
    if (known === undefined) return { is: 'held by none', sentence };
    return { is: 'held by', id: known.id, why: `its outbox could not be written, and ${sentence}` };
  }
  const [largest] = outboxes.toSorted((a, b) => b.bytes - a.bytes);
  if (largest === undefined) return { is: 'held by none', sentence };
  return {
    is: 'held by',
    id: largest.id,
    why: `its outbox of ${megabytes(largest.bytes)} was the largest, and ${sentence}`,
  };
}
