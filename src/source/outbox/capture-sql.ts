import { knownType } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import type { Column, ReplicatedTable, TriggerLevel } from '../../domain/replicated-table.js';
import { captureFunction, keyColumn, outboxTable, qualified, triggerName, type OutboxEvent } from './names.js';

/** A key column of the source with what its twin in the outbox needs. */
export interface KeyColumn {
  readonly column: Column;
  /** The base type, qualified and without modifiers: widening a varchar must not break the user's writes. */
  readonly type: string;
  /** Qualified and quoted; null where the type has no collation. */
  readonly collation: string | null;
}

/**
 * The outbox: which keys changed, in order. The identity's cache is 1, so that per key `seq` is the order of commits; `xid` tells a snapshot
 * what of it is visible. The xid comes first, because defaults are evaluated in column order: the low-water rests on it
 * that whoever has drawn a `seq` has an xid already. Key columns are NULL in a mark, which says what happened to the whole table (`t`: TRUNCATE).
 *
 * The table is always nearly empty and its dead rows pile up at the low end of the index, where the drain looks: autovacuum
 * goes early and without pauses. It does not cut the file (`vacuum_truncate`), because that locks out the user's writers.
 */
export function outboxTableSql(id: string, key: readonly KeyColumn[]): string {
  const columns = key.map(
    ({ type, collation }, index) => `${keyColumn(index)} ${type}${collation === null ? '' : ` collate ${collation}`}`,
  );
  return /* sql */ `create table if not exists ${outboxTable(id)} (
    xid xid8 not null default pg_catalog.pg_current_xact_id(),
    seq bigint generated always as identity (cache 1) primary key,
    mark "char",
    ${columns.join(', ')}
  ) with (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000, vacuum_truncate = off
  )`;
}

/**
 * What one trigger does: as little as possible, because it runs in the user's transaction and fails with it. It writes
 * keys only, so no change of the other columns can break it. Its rights are its owner's, its search path fixed.
 */
export function captureFunctionSql(
  id: string,
  event: OutboxEvent,
  level: TriggerLevel,
  key: readonly Column[],
): string {
  // As a literal, not in dollar quotes: a column may have any name, also that of a closing tag.
  const body = `begin
    insert into ${outboxTable(id)} (${targetsOf(event, key).join(', ')})
    ${(level === 'statement' ? statementSource : rowSource)(event, key)};
    return null;
  end`;
  return /* sql */ `create or replace function ${captureFunction(id, event)}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as ${literal(body)}`;
}

function targetsOf(event: OutboxEvent, key: readonly Column[]): string[] {
  return event === 'truncate' ? ['mark'] : key.map((_, index) => keyColumn(index));
}

/** Names of the transition tables: a user's table of the same name does not hide them, nor they it. */
const NEW_ROWS = 'pg2click_new';
const OLD_ROWS = 'pg2click_old';

/** Every column is qualified: a bare `found` or `tg_op` would be a variable of plpgsql. */
function statementSource(event: OutboxEvent, key: readonly Column[]): string {
  const keysOf = (rows: string) => `select ${images(key, 'changed')} from ${rows} changed`;
  switch (event) {
    case 'insert':
      return keysOf(NEW_ROWS);
    case 'delete':
      return keysOf(OLD_ROWS);
    case 'update':
      // `union` keeps one of two equal images: an update that leaves the key alone writes it once.
      return `${keysOf(OLD_ROWS)} union ${keysOf(NEW_ROWS)}`;
    case 'truncate':
      return `values ('t')`;
  }
}

/** Row by row, where statement triggers would not fire. */
function rowSource(event: OutboxEvent, key: readonly Column[]): string {
  switch (event) {
    case 'insert':
      return `values (${images(key, 'new')})`;
    case 'delete':
      return `values (${images(key, 'old')})`;
    case 'update':
      return `values (${images(key, 'old')}) union values (${images(key, 'new')})`;
    case 'truncate':
      return `values ('t')`;
  }
}

function images(key: readonly Column[], row: string): string {
  return key.map((column) => knownType(column).image(`${row}.${quotePg(column.name)}`)).join(', ');
}

/** The statement takes SHARE ROW EXCLUSIVE, so it waits for the writers of this moment and holds off the next ones. */
export function triggerSql(
  table: Pick<ReplicatedTable, 'id' | 'name'>,
  event: OutboxEvent,
  level: TriggerLevel,
): string {
  const transitions = [
    event === 'delete' || event === 'update' ? `old table as ${OLD_ROWS}` : '',
    event === 'insert' || event === 'update' ? `new table as ${NEW_ROWS}` : '',
  ].filter(Boolean);
  const how =
    event === 'truncate'
      ? 'for each statement'
      : level === 'row'
        ? 'for each row'
        : `referencing ${transitions.join(' ')} for each statement`;
  return /* sql */ `create or replace trigger ${quotePg(triggerName(table.id, event))} after ${event}
    on ${qualified(table.name)} ${how} execute function ${captureFunction(table.id, event)}()`;
}

/**
 * A session with `session_replication_role = replica` changes rows too. Only the owner of the table may do this; for any
 * other role there is a function of the administrator's (`sql/roles/postgres.sql`).
 */
export function enableAlwaysSql(
  replica: Pick<ReplicatedTable, 'id' | 'name'>,
  event: OutboxEvent,
  owned: boolean,
): string {
  const table = qualified(replica.name);
  const name = triggerName(replica.id, event);
  return owned
    ? /* sql */ `alter table ${table} enable always trigger ${quotePg(name)}`
    : /* sql */ `select pg2click_admin.enable_always(${literal(table)}::regclass, ${literal(name)})`;
}
