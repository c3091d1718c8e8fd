import { outboxTable } from '../../outbox/names.js';

/** The column of the outbox that holds the values of number `place`, from 1. */
export function valueColumn(place: number): string {
  return `v${place}`;
}

/** The columns of a change beside its values, in the order in which lines have them. */
export const CHANGE_COLUMNS: readonly string[] = ['mark', 'op', 'lsn', 'at', 'tx', 'form'];

/** As `op` has them, in the order of `LOG_OPERATIONS`. */
export const OPERATION_LETTERS = ['r', 'i', 'u', 'd', 't'] as const;
export type OperationLetter = (typeof OPERATION_LETTERS)[number];

/**
 * The outbox of a table of which every change is kept: one row a change, in the order of the commits. Columns for the values are added
 * as forms need them (`ensureForm`): nobody but our own reader writes here, so an ALTER holds up no user. For `xid`, `seq` and `mark`
 * see `outboxTableSql`: batches are named, confirmed and deleted as there.
 */
export function logTableSql(id: string): string {
  return /* sql */ `create table if not exists ${outboxTable(id)} (
    xid xid8 not null default pg_catalog.pg_current_xact_id(),
    seq bigint generated always as identity (cache 1) primary key,
    mark "char",
    op "char",
    lsn pg_lsn,
    at timestamptz,
    tx xid8,
    form integer
  ) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000, vacuum_truncate = off
  )`;
}
