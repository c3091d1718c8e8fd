import type { Queryable } from '../../connect/queryable.js';
import { rowsOfLast } from '../../connect/queryable.js';
import { literal } from '../../domain/identifier.js';
import { sourceName, type Column, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { THEN_GO_ON } from '../../failure/remedies.js';
import { copyAgainRemedy } from '../../failure/remedies.js';
import { qualified } from '../outbox/names.js';
import { numericModifier, readColumns } from './catalog.js';
import { findPlace, othersSql, requirePlace } from './place.js';

type SchemaOwner = Pick<ReplicatedTable, 'name' | 'source' | 'relation' | 'columns'> &
  Partial<Pick<ReplicatedTable, 'key' | 'route' | 'excluded' | 'where'>>;

/** What is looked at before rows are read. */
interface RowSchema {
  /** The name belongs to the table that was added. */
  readonly same: boolean;
  /** Another table has the name that it was added with. */
  readonly taken: boolean;
  /** Row-level security applies to our role. */
  readonly hidden: boolean;
  /** Number, name, type, modifier and NOT NULL of every column, as one text. */
  readonly columns: string;
}

/**
 * Holds the table's columns as they are until the transaction ends, and looks whether it is the table that was added, and what its
 * columns are. The fingerprint is looked at too seldom for these: ClickHouse takes a NULL for a number that is not Nullable as 0,
 * and a bigint for an Int32 without its upper half, without a word; two columns may have swapped names; and under the name of a
 * table that was dropped there may be a view, whose functions run as our role.
 *
 * One text of the columns, compared here: PostgreSQL takes 0.2 ms for it, and took 0.9 to compare them itself, with each batch.
 */
export function lockRowSchemaSql(owner: Pick<SchemaOwner, 'name' | 'source' | 'relation'>): string {
  const name = qualified(sourceName(owner));
  const table = `${literal(name)}::pg_catalog.regclass`;
  const relation = `${literal(owner.relation)}::pg_catalog.oid`;
  const others = othersSql(literal(owner.name.schema), literal(owner.name.table), relation);
  // Where it has the name it was added with, no other table has.
  const taken = owner.source === undefined ? 'false' : `exists (${others})`;
  return /* sql */ `lock table only ${name} in access share mode;
    select ${table} = ${relation} as same, ${taken} as taken, pg_catalog.row_security_active(${table}) as hidden,
      array(
        select row(a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull) from pg_catalog.pg_attribute a
        where a.attrelid = ${table} and a.attnum > 0 order by a.attnum)::text as columns`;
}

/** Of a table's columns, the text that was found to be theirs. */
const KNOWN_COLUMNS = new WeakMap<readonly Column[], string>();

/**
 * @param pg the connection of the transaction: where the columns are not known to be the table's, it is asked what they are
 * @param results of a message that ends with `lockRowSchemaSql`
 * @throws Failure `SourceChanged`, `MissingTable`, `Unauthorized`
 */
export async function requireRowSchema(pg: Queryable, results: unknown, table: SchemaOwner): Promise<void> {
  const columns = await requireSameTable(pg, results, table);
  if (KNOWN_COLUMNS.get(table.columns) === columns) return;
  const changes = changesOf(table, await readColumns(pg, table.relation));
  if (changes.length > 0) throw changedBy(changes, table, 'was changed');
  KNOWN_COLUMNS.set(table.columns, columns);
}

/**
 * @param pg, results as of `requireRowSchema`
 * @returns the text of its columns
 * @throws Failure `MissingTable`, `Unauthorized`
 */
export async function requireSameTable(pg: Queryable, results: unknown, table: SchemaOwner): Promise<string> {
  const [found] = rowsOfLast<RowSchema>(results);
  if (found?.same !== true || found.taken) {
    const now = requirePlace(table, await findPlace(pg, table));
    throw new Failure('MissingTable', {
      message: `${formatTableName(table.name)} is ${formatTableName(now)} in PostgreSQL now.`,
      remedy: 'That is followed by itself.',
    });
  }
  if (found.hidden)
    throw new Failure('Unauthorized', {
      message: `Row-level security was switched on for ${formatTableName(table.name)}, and would hide rows from the PostgreSQL role of pg2click: they would look deleted.`,
      remedy: `Run in PostgreSQL as a superuser: alter role NAME bypassrls, with the role of these settings. Or let the policies not apply to it; ${THEN_GO_ON}.`,
    });
  return found.columns;
}

/** @returns the failure, with its remedy where the statement that threw `error` found no table */
export function explainMissing(failure: Failure, error: unknown): Failure {
  if (failure === error || failure.kind !== 'MissingTable') return failure;
  return new Failure('MissingTable', { message: failure.message, remedy: REMEDY_OF_MISSING, cause: error });
}

const REMEDY_OF_MISSING =
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

/** @param otherwise said where there are no changes */
export function changedBy(
  changes: readonly string[],
  table: Pick<SchemaOwner, 'name' | 'source' | 'columns' | 'excluded' | 'where' | 'route' | 'key'>,
  otherwise: string,
  cause?: unknown,
): Failure {
  const title = formatTableName(table.name);
  return new Failure('SourceChanged', {
    message: changes.length === 0 ? `${title} ${otherwise}.` : `${title} was changed: ${changes.join('; ')}.`,
    remedy: copyAgainRemedy({ ...table, key: table.key }, { dropTarget: true }),
    cause,
  });
}

function changesOf({ columns, key, excluded = [], where }: SchemaOwner, now: readonly Column[]): string[] {
  const known = [...columns, ...excluded];
  const added = now.filter(({ position }) => !known.some((was) => was.position === position));
  const changed = [...columns, ...(where?.hidden ?? [])].flatMap((was) => {
    const what = key?.includes(was.name) === true ? 'the key column' : 'the column';
    const change = changeOf(
      was,
      now.find(({ position }) => position === was.position),
    );
    return change === undefined ? [] : [`${what} ${was.name} ${change}`];
  });
  return [...changed, ...added.map(({ name }) => `the column ${name} was added`)];
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
