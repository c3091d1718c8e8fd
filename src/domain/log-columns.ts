import type { Column, TargetTable } from './replicated-table.js';
import { physicalKey, physicalName } from './replicated-table.js';
import { engineOf, type Engine } from './route.js';
import type { Shape } from './shape.js';

/** What a row of a log is. `snapshot`: a row that was there when the table was added. */
export const LOG_OPERATIONS = ['snapshot', 'insert', 'update', 'delete', 'truncate'] as const;

/** Numbers the rows of a log in the order of their commits; those of the snapshot are negative. */
export const SEQ_COLUMN = '_seq';

/** The columns that a log has after those of its table, in their order. */
export const LOG_COLUMNS: readonly { readonly name: string; readonly type: string }[] = [
  { name: '_op', type: `Enum8(${LOG_OPERATIONS.map((operation, index) => `'${operation}' = ${index}`).join(', ')})` },
  { name: SEQ_COLUMN, type: 'Int64' },
  // Of the commit: a pg_lsn as a number.
  { name: '_lsn', type: 'UInt64' },
  { name: '_commit_time', type: "DateTime64(6, 'UTC')" },
  // As pg_current_xact_id() has it; 0 for rows of the snapshot.
  { name: '_xid', type: 'UInt64' },
];

export function isLog(table: { readonly engine?: Engine | undefined }): boolean {
  return engineOf({ engine: table.engine ?? 'replacing' }) === 'log';
}

/** The columns that identify a row of a target which is no ReplacingMergeTree. */
export function rowKey(table: Pick<TargetTable, 'columns' | 'key' | 'engine'>): string[] {
  return isLog(table) ? [SEQ_COLUMN] : physicalKey(table);
}

/** A column of the source has a name of these, which its target cannot have twice. */
export function nameOfLog(columns: readonly Column[]): string | undefined {
  return columns.find((column) => LOG_COLUMNS.some(({ name }) => name === physicalName(column)))?.name;
}

/** The columns of all shapes, by position: a change from before a DROP COLUMN still has its value. */
export function loggedColumns({
  columns,
  shapes = [],
}: {
  readonly columns: readonly Column[];
  readonly shapes?: readonly Shape[] | undefined;
}): readonly Column[] {
  const known = new Map<number, Column>();
  for (const column of [...shapes.flatMap((shape) => shape.columns), ...columns]) known.set(column.position, column);
  return [...known.values()].toSorted((a, b) => a.position - b.position);
}
