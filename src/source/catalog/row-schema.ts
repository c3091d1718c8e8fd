import type { Queryable } from '../../connect/queryable.js';
import { rowsOfLast } from '../../connect/queryable.js';
import { literal } from '../../domain/identifier.js';
import type { Column, ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { qualified } from '../outbox/names.js';
import { numericModifier, readColumns } from './catalog.js';

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
  /** Columns whose type is not the known one itself, each with its oid and modifier: altered, or a domain. */
  readonly types: string | null;
}

/**
 * Holds the table's shape until the transaction ends, and looks whether it is the table that was added, its columns have
 * their names and types, and a column that was NOT NULL still is. The fingerprint is too seldom for these: ClickHouse takes a
 * NULL for a number that is not Nullable as 0, and a bigint for an Int32 without its upper half, without a word; two columns
 * may have swapped names; and under the name of a table that was dropped there may be a view, whose functions run as our role.
 *
 * What a domain is made of takes a question of its own, once a slice.
 */
export function lockRowSchemaSql(table: SchemaOwner): string {
  const name = qualified(table.name);
  const columns = table.columns.map((column) => {
    const { name: known, position, nullable, type } = column;
    return `(${position}, ${literal(known)}, ${String(!nullable)}, ${literal(type)}, ${numericModifier(column) ?? 'null::int'})`;
  });
  return /* sql */ `lock table only ${name} in access share mode;
    select ${literal(name)}::pg_catalog.regclass = ${literal(table.relation)}::pg_catalog.oid as same,
      (select format('%I.%I', c.relnamespace::pg_catalog.regnamespace::text, c.relname) from pg_catalog.pg_class c
        where c.oid = ${literal(table.relation)}::pg_catalog.oid) as now,
      pg_catalog.row_security_active(${literal(name)}::pg_catalog.regclass) as hidden, columns.altered, columns.types
    from (
      select bool_or(a.attname::text is distinct from wanted.name or wanted.required and not a.attnotnull) as altered,
        string_agg(a.attnum || ' ' || a.atttypid || ' ' || a.atttypmod, ',') filter (where not case wanted.type
          when 'enum' then (select t.typtype = 'e' from pg_catalog.pg_type t where t.oid = a.atttypid)
          else pg_catalog.format_type(a.atttypid, null) = wanted.type
            and (wanted.modifier is null or a.atttypmod = wanted.modifier) end) as types
      from (values ${columns.join(', ')}) wanted (position, name, required, type, modifier)
      left join pg_catalog.pg_attribute a
        on a.attrelid = ${literal(name)}::pg_catalog.regclass and a.attnum = wanted.position) columns`;
}

/** Of a table's columns, what `RowSchema.types` was when it was looked up, and was found to be theirs. */
const KNOWN_TYPES = new WeakMap<readonly Column[], string>();

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
  const { altered, types } = found;
  if (!altered && (types === null || KNOWN_TYPES.get(table.columns) === types)) return;
  const changes = changesOf(table, await readColumns(pg, table.relation));
  if (altered || types === null || changes.length > 0) throw changedBy(changes, table, 'was changed');
  // A domain is made of the same type for ever.
  KNOWN_TYPES.set(table.columns, types);
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
  return changedBy(changesOf(table, await readColumns(pg, table.relation)), table, otherwise, cause);
}

function changedBy(changes: readonly string[], table: SchemaOwner, otherwise: string, cause?: unknown): Failure {
  const title = formatTableName(table.name);
  return new Failure('SourceChanged', {
    message: changes.length === 0 ? `${title} ${otherwise}.` : `${title} was changed: ${changes.join('; ')}.`,
    remedy:
      'Remove the table together with its ClickHouse table (remove --drop-target) and add it again: it is copied again.',
    cause,
  });
}

function changesOf({ columns, key }: SchemaOwner, now: readonly Column[]): string[] {
  return columns.flatMap((was) => {
    const what = key?.includes(was.name) === true ? 'the key column' : 'the column';
    const change = changeOf(
      was,
      now.find(({ position }) => position === was.position),
    );
    return change === undefined ? [] : [`${what} ${was.name} ${change}`];
  });
}

function changeOf(was: Column, is: Column | undefined): string | undefined {
  if (is === undefined) return 'was dropped';
  if (is.name !== was.name) return `was renamed to ${is.name}`;
  if (is.type !== was.type || (numericModifier(was) !== undefined && numericModifier(is) !== numericModifier(was)))
    return `was changed from ${shownType(was)} to ${shownType(is)}`;
  if (is.nullable && !was.nullable) return 'may be NULL now, and its ClickHouse column may not';
  return undefined;
}

function shownType({ type, precision, scale }: Column): string {
  return precision === undefined ? type : `${type}(${precision},${scale})`;
}
