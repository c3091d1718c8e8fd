import type { Queryable } from '../../connect/queryable.js';
import { rowsOfLast } from '../../connect/queryable.js';
import { literal } from '../../domain/identifier.js';
import type { Column, ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { qualified } from '../outbox/names.js';
import { readColumns } from './catalog.js';

type SchemaOwner = Pick<ReplicatedTable, 'name' | 'relation' | 'columns'> & Partial<Pick<ReplicatedTable, 'key'>>;

/** What the columns are now that are not as they were when the table was added. */
interface RowSchema {
  /** The name belongs to the table that was added. */
  readonly same: boolean;
  /** Where that table is now, quoted; null where it was dropped. */
  readonly now: string | null;
  /** Row-level security applies to our role. */
  readonly hidden: boolean;
  readonly altered: boolean;
}

/**
 * Holds the table's shape until the transaction ends, and looks whether it is the table that was added, its columns have
 * their names, and a column that was NOT NULL still is. The fingerprint is too seldom for these: ClickHouse takes a NULL for
 * a number that is not Nullable as 0, without a word; two columns may have swapped names; and under the name of a table that
 * was dropped there may be a view, whose functions run as our role.
 */
export function lockRowSchemaSql(table: SchemaOwner): string {
  const name = qualified(table.name);
  const columns = table.columns.map(
    ({ name: column, position, nullable }) => `(${position}, ${literal(column)}, ${String(!nullable)})`,
  );
  return /* sql */ `lock table only ${name} in access share mode;
    select ${literal(name)}::pg_catalog.regclass = ${literal(table.relation)}::pg_catalog.oid as same,
      (select format('%I.%I', c.relnamespace::pg_catalog.regnamespace::text, c.relname) from pg_catalog.pg_class c
        where c.oid = ${literal(table.relation)}::pg_catalog.oid) as now,
      pg_catalog.row_security_active(${literal(name)}::pg_catalog.regclass) as hidden,
      exists (
        select from (values ${columns.join(', ')}) wanted (position, name, required)
        left join pg_catalog.pg_attribute a
          on a.attrelid = ${literal(name)}::pg_catalog.regclass and a.attnum = wanted.position
        where a.attname::text is distinct from wanted.name or wanted.required and not a.attnotnull) as altered`;
}

/**
 * @param pg the connection of the transaction: where something was altered, it is asked what
 * @param results of a message that ends with `lockRowSchemaSql`
 * @throws Failure `SourceChanged`, `MissingTable`, `Unauthorized`
 */
export async function requireRowSchema(pg: Queryable, results: unknown, table: SchemaOwner): Promise<void> {
  const [found] = rowsOfLast<RowSchema>(results);
  const title = formatTableName(table.name);
  const now = found?.now ?? null;
  const what = now === null ? 'was dropped' : `is ${now} now`;
  if (found?.same !== true)
    throw new Failure('MissingTable', {
      message: `${title} is another table now than the one that was added, which ${what}.`,
      remedy: REMEDY_OF_MISSING,
    });
  if (found.hidden)
    throw new Failure('Unauthorized', {
      message: `Row-level security was switched on for ${title}, and would hide rows from the PostgreSQL role of pg2click: they would look deleted.`,
      remedy: 'Give the role BYPASSRLS, or switch row-level security off for it, then resume.',
    });
  if (!found.altered) return;
  throw await sourceChanged(pg, table, 'was changed');
}

export const REMEDY_OF_MISSING =
  'Give the table that was added its name back and resume; or remove the table from pg2click and add it again.';

/**
 * @param otherwise said where the columns are as they were
 * @returns a `SourceChanged` that says what happened to the columns
 */
export async function sourceChanged(
  pg: Queryable,
  table: SchemaOwner,
  otherwise: string,
  cause?: unknown,
): Promise<Failure> {
  const now = await readColumns(pg, table.relation);
  const changes = table.columns.flatMap((was) => {
    const what = table.key?.includes(was.name) === true ? 'the key column' : 'the column';
    const change = changeOf(
      was,
      now.find(({ position }) => position === was.position),
    );
    return change === undefined ? [] : [`${what} ${was.name} ${change}`];
  });
  const title = formatTableName(table.name);
  return new Failure('SourceChanged', {
    message: changes.length === 0 ? `${title} ${otherwise}.` : `${title} was changed: ${changes.join('; ')}.`,
    remedy:
      'Remove the table together with its ClickHouse table (remove --drop-target) and add it again: it is copied again.',
    cause,
  });
}

function changeOf(was: Column, is: Column | undefined): string | undefined {
  if (is === undefined) return 'was dropped';
  if (is.name !== was.name) return `was renamed to ${is.name}`;
  if (is.type !== was.type) return `was changed from ${was.type} to ${is.type}`;
  if (is.nullable && !was.nullable) return 'may be NULL now, and its ClickHouse column may not';
  return undefined;
}
