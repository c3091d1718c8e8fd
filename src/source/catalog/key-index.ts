import { columnType } from '../../domain/column-type.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import type { CatalogTable, UniqueIndex } from './catalog.js';

/**
 * The columns that tell the rows of the table apart, in the order of the unique index that guarantees it.
 *
 * Deferrable indexes are refused because the order of events per key is the order of commits only while the index is
 * checked at once: with a deferrable one, a row that was inserted second may get the lower `seq`.
 * @param chosen column names, in any order; the primary key where absent
 * @throws Failure `UnsuitableTable`
 */
export function chooseKey(table: CatalogTable, name: TableName, chosen?: readonly string[]): readonly string[] {
  const title = formatTableName(name);
  const candidates = table.uniqueIndexes.filter((index) =>
    chosen === undefined ? index.primary : sameColumns(index.columns, chosen),
  );
  const judged = candidates.map((index) => ({ index, flaw: findFlaw(index, table) }));
  const good = judged.find(({ flaw }) => flaw === undefined);
  if (good !== undefined) return good.index.columns;
  const [first] = judged;
  const message =
    first === undefined
      ? chosen === undefined
        ? `${title} has no primary key.`
        : `${title} has no unique index on exactly (${chosen.join(', ')}).`
      : `The unique index ${first.index.name} of ${title} cannot serve as the key: ${first.flaw ?? ''}.`;
  throw new Failure('UnsuitableTable', { message, remedy: remedyFor(table) });
}

/** Whether one of the indexes still guarantees that these columns tell the rows apart. */
export function guaranteesKey(indexes: readonly UniqueIndex[], key: readonly string[]): boolean {
  return indexes.some((index) => sameColumns(index.columns, key) && findIndexFlaw(index) === undefined);
}

function findIndexFlaw(index: UniqueIndex): string | undefined {
  if (!index.valid) return 'it is not valid';
  if (!index.immediate) return 'it is deferrable';
  if (index.incomplete) return 'it does not cover every row by columns alone';
  if (!index.plain) return 'it compares by other rules than its columns do';
  return undefined;
}

function findFlaw(index: UniqueIndex, table: CatalogTable): string | undefined {
  const flaw = findIndexFlaw(index);
  if (flaw !== undefined) return flaw;
  for (const name of index.columns) {
    const column = table.columns.find((candidate) => candidate.name === name);
    if (column === undefined || column.nullable) return `column ${name} may be NULL`;
    if (columnType(column)?.key !== true) return `column ${name} is of type ${column.type}`;
  }
  return undefined;
}

function remedyFor(table: CatalogTable): string {
  const fit = table.uniqueIndexes.filter((index) => findFlaw(index, table) === undefined);
  const [first] = fit;
  return first === undefined
    ? 'Add a primary key, or a unique index of NOT NULL columns that is not deferrable, and name its columns with --key.'
    : `Name the columns of a unique index that is suitable, for example --key ${first.columns.join(',')}.`;
}

function sameColumns(a: readonly string[], b: readonly string[]): boolean {
  return a.length === new Set(b).size && a.every((name) => b.includes(name));
}
