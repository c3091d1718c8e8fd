import type { OutboxBatch } from '../../domain/batch.js';
import { batchVersionSql, eventsSql, joinedKeysSql, rowTextSql, type DrainedTable } from './drain-keys.js';

/** The rows of a batch as COPY text and nothing else: a line for each key, with the columns of `targetColumns` in their order. */
export function streamSql(
  table: DrainedTable,
  batch: OutboxBatch,
  { hasLoose }: { readonly hasLoose: boolean },
): string {
  return /* sql */ `copy (
    select ${rowTextSql(table, batchVersionSql(table, batch))}
    ${joinedKeysSql(table, batch, { hasLoose, marks: false })}
  ) to stdout`;
}

/** What a batch holds beside its rows. */
export interface BatchEvents {
  /** Outbox rows. */
  readonly events: number;
  /** Those of them that say that something changed, and not what. */
  readonly unknown: number;
  /** The highest `seq` of a TRUNCATE mark, decimal; null where there is none. */
  readonly truncated: string | null;
  /** Whether all that the snapshot of the transaction shows is on disk: see `IS_FLUSHED`. */
  readonly flushed: boolean;
}

/** One row of `BatchEvents`: some 4 ms for 20,000 events, where the COPY of their rows takes 130. */
export function batchEventsSql(id: string, batch: OutboxBatch): string {
  return /* sql */ `select count(*)::int as events, (count(*) filter (where event.mark = 'x'))::int as unknown,
      (max(event.seq) filter (where event.mark = 't'))::text as truncated,
      pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn() as flushed
    ${eventsSql(id, batch)}`;
}
