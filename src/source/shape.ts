import type { QueryResult } from 'pg';
import { literal } from '../domain/identifier.js';
import type { Replica } from '../domain/replica.js';
import { formatTableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { qualified } from './outbox-names.js';

type ShapedTable = Pick<Replica, 'name' | 'columns'>;

/**
 * Holds the table's shape until the transaction ends, and looks whether a column that was NOT NULL still is. The
 * fingerprint is too seldom for this one: ClickHouse takes a NULL for a number that is not Nullable as 0, without a word.
 */
export function holdShapeSql(table: ShapedTable): string {
  const name = qualified(table.name);
  const required = table.columns.filter((column) => !column.nullable).map((column) => column.position);
  return /* sql */ `lock table only ${name} in access share mode;
    select a.attname::text as loosened from pg_catalog.pg_attribute a
    where a.attrelid = ${literal(name)}::regclass and a.attnum in (${[0, ...required].join(', ')}) and not a.attnotnull`;
}

/**
 * @param results of a message that ends with `holdShapeSql`
 * @throws Failure `SourceChanged`
 */
export function requireShape(results: unknown, table: ShapedTable): void {
  const look = (results as QueryResult<{ loosened: string }>[]).at(-1);
  if (look === undefined || look.rows.length === 0) return;
  const columns = look.rows.map((row) => row.loosened).join(', ');
  throw new Failure('SourceChanged', {
    message: `${formatTableName(table.name)} now allows NULL in ${columns}, and its ClickHouse table does not.`,
  });
}
