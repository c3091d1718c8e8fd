import { DatabaseError } from 'pg';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { filterSql } from '../domain/row-filter.js';
import { formatTableName, shellName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';

type FilteredTable = Pick<ReplicatedTable, 'name' | 'columns' | 'where'>;

/** Class 22, data_exception: a value that an expression cannot take, as 0 that something is divided by. */
export function isDataError(error: unknown): error is DatabaseError {
  return error instanceof DatabaseError && error.code?.startsWith('22') === true;
}

/** Class 42 but for rights and tables: a type, a label's type or a function of an extension has another name by now. */
function isNameError({ code }: DatabaseError): boolean {
  return code?.startsWith('42') === true && code !== '42501' && code !== '42P01';
}

/**
 * What a row filter has to do with a statement that failed while it read rows: what else we compute of a row fails for none, and the
 * columns are locked as they are known.
 * @returns undefined where it is not the filter
 */
export function filterFailure(table: FilteredTable, error: unknown): Failure | undefined {
  const condition = filterSql(table);
  if (condition === undefined || !(error instanceof DatabaseError)) return undefined;
  if (!isDataError(error) && !isNameError(error)) return undefined;
  const name = shellName(table.name);
  return new Failure('UnsuitableTable', {
    // The text of the server may repeat a value of the row.
    message: `The row filter of ${formatTableName(table.name)}, ${condition}, fails with SQLSTATE ${error.code} when rows are read.`,
    remedy:
      `Correct the row that it fails for, as one with a 0 that something is divided by, or what it names (a type, a label), then run pg2click resume ${name}. ` +
      `Or run pg2click remove ${name}, then add it with another --where.`,
    cause: error,
  });
}
