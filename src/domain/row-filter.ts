import { quotePg } from './identifier.js';
import type { Column, ReplicatedTable } from './replicated-table.js';

/** Which rows of a table are replicated: those for which the condition is true. */
export interface RowFilter {
  /** The condition as PostgreSQL printed it, with `filterColumn` in the place of each column: a renamed column is found by its number. */
  readonly sql: string;
  /** Numbers of the columns that it uses. */
  readonly columns: readonly number[];
  /** Those of them that are left out of the target. Absent: none is. */
  readonly hidden?: readonly Column[];
}

/** What tells the rows of a table. */
export interface FilteredTable extends Pick<ReplicatedTable, 'columns'> {
  readonly where?: RowFilter | undefined;
}

const COLUMN = /"pg2click\.column\.(\d+)"/gu;

/** What stands for a column, unquoted. It has dots, so PostgreSQL prints it in quotes wherever it prints it. */
export function filterColumn(position: number): string {
  return `pg2click.column.${position}`;
}

/** The condition over the columns of the table alone, with their names of now; undefined where all rows are replicated. */
export function filterSql({ columns, where }: FilteredTable): string | undefined {
  const known = [...columns, ...(where?.hidden ?? [])];
  return where?.sql.replaceAll(COLUMN, (token, number: string) => {
    const column = known.find(({ position }) => position === Number(number));
    return column === undefined ? token : quotePg(column.name);
  });
}

/** The same for `add` to be given; a word in its place where a column of it is gone. */
export function filterCondition(table: FilteredTable): string | undefined {
  const condition = filterSql(table);
  return condition?.match(COLUMN) ? 'CONDITION' : condition;
}

/** The columns that are left out, but for those that the filter uses: what becomes of them does not matter. */
export function unreadColumns({
  excluded = [],
  where,
}: Pick<ReplicatedTable, 'excluded' | 'where'>): NonNullable<ReplicatedTable['excluded']> {
  return excluded.filter(({ position }) => where?.columns.includes(position) !== true);
}
