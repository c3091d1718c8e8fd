import { rowsOfLast } from '../../connect/queryable.js';
import { literal } from '../../domain/identifier.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { qualified } from '../outbox/names.js';

type SchemaOwner = Pick<ReplicatedTable, 'name' | 'relation' | 'columns'>;

/**
 * Holds the table's shape until the transaction ends, and looks whether it is the table that was added, and a column that
 * was NOT NULL still is. The fingerprint is too seldom for these: ClickHouse takes a NULL for a number that is not Nullable
 * as 0, without a word; and under the name of a table that was dropped there may be a view, whose functions run as our role.
 */
export function lockRowSchemaSql(table: SchemaOwner): string {
  const name = qualified(table.name);
  const required = table.columns.filter((column) => !column.nullable).map((column) => column.position);
  return /* sql */ `lock table only ${name} in access share mode;
    select ${literal(name)}::pg_catalog.regclass = ${literal(table.relation)}::pg_catalog.oid as same, array(
      select a.attname::text from pg_catalog.pg_attribute a
      where a.attrelid = ${literal(name)}::pg_catalog.regclass and a.attnum in (${[0, ...required].join(', ')})
        and not a.attnotnull) as loosened`;
}

/**
 * @param results of a message that ends with `holdShapeSql`
 * @throws Failure `SourceChanged`, `MissingTable`
 */
export function requireRowSchema(results: unknown, table: SchemaOwner): void {
  const [look] = rowsOfLast<{ same: boolean; loosened: string[] }>(results);
  const title = formatTableName(table.name);
  if (look?.same !== true)
    throw new Failure('MissingTable', { message: `${title} is another table now than the one that was added.` });
  if (look.loosened.length > 0)
    throw new Failure('SourceChanged', {
      message: `${title} now allows NULL in ${look.loosened.join(', ')}, and its ClickHouse table does not.`,
    });
}
