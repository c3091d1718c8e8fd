import { columnType } from '../../domain/column-type.js';
import type { Column } from '../../domain/replicated-table.js';
import type { Fields } from './line-fields.js';

/** A column whose values without a place are sent as a mark that ClickHouse refuses. */
interface MarkedColumn {
  /** In PostgreSQL. */
  readonly name: string;
  readonly mark: string;
}

/** By the names that rows have for them. */
export type Marks = ReadonlyMap<string, MarkedColumn>;

export function marksOf(columns: readonly Column[], nameOf: (column: Column) => string): Marks {
  const marks = new Map<string, MarkedColumn>();
  for (const column of columns) {
    const { name, policy = 'refuse' } = column;
    const mark = columnType(column).outside?.mark;
    if (policy === 'refuse' && mark !== undefined) marks.set(nameOf(column), { name, mark });
  }
  return marks;
}

/** @returns a column of PostgreSQL that has another value than the row says; undefined where there is none */
export function markedColumn(marks: Marks, fields: Fields): string | undefined {
  for (const [name, column] of marks) if (fields.get(name)?.toLowerCase() === column.mark) return column.name;
  return undefined;
}
