import type { Queryable } from '../connect/queryable.js';
import { count } from '../domain/figures.js';
import { firstLoader } from '../domain/replicated-table.js';
import { columnName, shellWord, sqlName, type TableName } from '../domain/table-name.js';
import { findFewValues, type FewValues } from '../source/catalog/few-values.js';
import type { CheckedTable } from './check-table.js';

/** What `add` says of a table's target before anything is made: what the options cost, and which one may pay. */
export async function targetNotes(
  source: Queryable,
  name: TableName,
  { inspection, route }: Pick<CheckedTable, 'inspection' | 'route'>,
): Promise<readonly string[]> {
  const { layout: { orderBy, partitionBy, ttl, constantTtl } = {} } = firstLoader({ route });
  const notes = [
    orderBy === undefined
      ? undefined
      : `ordered by ${orderBy}: queries by the first columns of the key, and backfills of a range, read more of it`,
    partitionBy === undefined
      ? undefined
      : `partitioned by ${partitionBy}: a batch makes a part in each partition that it has rows of, so keep the partitions few`,
    ttl === undefined
      ? undefined
      : `its rows disappear in ClickHouse at ${ttl}, and stay in PostgreSQL${constantTtl === true ? '. An UPDATE that changes that time may bring an older version of the row back' : ''}`,
    fewValuesNote(await findFewValues(source, { ...inspection, name })),
  ];
  return notes.flatMap((note) => (note === undefined ? [] : [`${sqlName(name)}: ${note}.`]));
}

function fewValuesNote(found: readonly FewValues[]): string | undefined {
  if (found.length === 0) return undefined;
  const named = found.map(({ column, values }) => `${column} (about ${count(values)})`).join(', ');
  const option = `--low-cardinality ${shellWord(found.map(({ column }) => columnName(column)).join(','))}`;
  return `texts with few distinct values: ${named}. With ${option} they take less room`;
}
