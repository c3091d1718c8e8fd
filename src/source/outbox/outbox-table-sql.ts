import { keyColumn, outboxTable } from './names.js';

/** The type that a column of the outbox takes from its key column. */
export interface OutboxKeyType {
  /** The base type, qualified and without modifiers: widening a varchar must not break the user's writes. */
  readonly type: string;
  /** Qualified and quoted; null where the type has no collation. */
  readonly collation: string | null;
}

/**
 * The outbox: which keys changed, in order. The identity's cache is 1, so that per key `seq` is the order of commits; `xid` tells a snapshot
 * what of it is visible. The xid comes first, because defaults are evaluated in column order: the low-water rests on it
 * that a transaction that has allocated a `seq` has an xid already.
 *
 * A row is one of four: a key in `k1`..; a key as text images in `loose`, where the key columns are not of those types any
 * more; a mark `t` (TRUNCATE); a mark `x` (rows changed, and their keys cannot be known). `shape` numbers the form of the
 * table that the trigger was made for.
 *
 * The table is always nearly empty and its dead rows pile up at the low end of the index, where the drain looks: autovacuum
 * goes early and without pauses. It does not cut the file (`vacuum_truncate`), because that locks out the user's writers.
 * It is never altered: ALTER would wait for the user's open transactions, and hold up the writers behind it.
 */
export function outboxTableSql(id: string, key: readonly OutboxKeyType[]): string {
  const columns = key.map(
    ({ type, collation }, index) => `${keyColumn(index)} ${type}${collation === null ? '' : ` collate ${collation}`}`,
  );
  return /* sql */ `create table if not exists ${outboxTable(id)} (
    xid xid8 not null default pg_catalog.pg_current_xact_id(),
    seq bigint generated always as identity (cache 1) primary key,
    mark "char",
    shape integer not null default 1,
    ${columns.join(', ')},
    loose text[]
  ) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000, vacuum_truncate = off
  )`;
}
