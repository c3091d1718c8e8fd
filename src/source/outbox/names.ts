import { isTree, sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { filterSql } from '../../domain/row-filter.js';
import type { TableName } from '../../domain/table-name.js';
import { quotePg } from '../../domain/identifier.js';

/** What can happen to a table, each with a trigger of its own. */
export const OUTBOX_EVENTS = ['insert', 'update', 'delete', 'truncate'] as const;
export type OutboxEvent = (typeof OUTBOX_EVENTS)[number];
/** Those that name rows by their keys. */
export type KeyEvent = Exclude<OutboxEvent, 'truncate'>;

/** What can happen to a row in a session that applies changes of elsewhere, each with a trigger of its own: see `CaptureForm`. */
export const APPLIED_EVENTS = ['inserted', 'updated', 'deleted'] as const;
export type AppliedEvent = (typeof APPLIED_EVENTS)[number];

/** The functions that an outbox may have: `truncating` runs before the TRUNCATE of a partitioned table. */
export const CAPTURE_FUNCTIONS = [...OUTBOX_EVENTS, 'truncating', ...APPLIED_EVENTS] as const;
export type CaptureFunction = (typeof CAPTURE_FUNCTIONS)[number];

/** The event of a statement that does to rows what is applied; undefined where `event` is none of those. */
export function appliedAs(event: CaptureFunction): KeyEvent | undefined {
  return APPLIED_AS[event];
}

const APPLIED_AS: Readonly<Partial<Record<CaptureFunction, KeyEvent>>> = {
  inserted: 'insert',
  updated: 'update',
  deleted: 'delete',
};

/** Names of the transition tables: a user's table of the same name does not hide them, nor they it. */
export const NEW_ROWS = 'pg2click_new';
export const OLD_ROWS = 'pg2click_old';

/** Everything of an outbox is named by the ledger id: a table's own name may already have all 63 bytes. */
export function outboxTable(id: string): string {
  return `pg2click.${quotePg(`outbox_${id}`)}`;
}

export function captureFunction(id: string, event: CaptureFunction): string {
  return `pg2click.${quotePg(`capture_${id}_${event}`)}`;
}

export function triggerName(id: string, event: CaptureFunction): string {
  return `pg2click_${id}_${event}`;
}

/** The column of the outbox that holds the key's column number `index`, from 0. */
export function keyColumn(index: number): string {
  return `k${index + 1}`;
}

export function qualified(name: TableName): string {
  return `${quotePg(name.schema)}.${quotePg(name.table)}`;
}

/** A table as its rows are read. */
type RowsOwner = Pick<ReplicatedTable, 'name' | 'source' | 'columns' | 'where'> &
  Partial<Pick<ReplicatedTable, 'route'>>;

/** All rows of a table, as FROM reads them: of a partitioned one (a tree) with its partitions, of any other without its heirs. */
export function allRows(name: TableName, isOfTree: boolean): string {
  return isOfTree ? qualified(name) : `only ${qualified(name)}`;
}

/** The rows that are replicated, as FROM reads them. */
export function ownRows(table: RowsOwner): string {
  return rowsThatFit(table, allRows(sourceName(table), isTree(table)));
}

/**
 * Those of `rows` that fit the row filter of their table. PostgreSQL pulls the subquery up, so a row is found by its key as in the table
 * alone. In it a condition sees the columns of the table and nothing of the statement around.
 * @param conditions more of them
 */
export function rowsThatFit(table: RowsOwner, rows: string, conditions: readonly string[] = []): string {
  const filter = filterSql(table);
  const all = filter === undefined ? conditions : [...conditions, `(${filter})`];
  return all.length === 0 ? rows : `(select * from ${rows} where ${all.join(' and ')})`;
}
