import type { Queryable } from '../../connect/queryable.js';
import { quotePg } from '../../domain/identifier.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName, isSameName, shellName, type TableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { copyAgainRemedy } from '../../failure/remedies.js';
import { qualified } from '../outbox/names.js';

/** Where a table is in PostgreSQL by now. */
export interface Place {
  /** Null where it was dropped. */
  readonly name: TableName | null;
  /** Our role may use its schema. */
  readonly usable: boolean;
  /** Our role. */
  readonly role: string;
  /** Another table has the name that it was added with. */
  readonly taken: boolean;
}

/** Kinds of relations that a person may mean by the name of a table. A view is none: some put it there for readers of the old name. */
const TABLES = `('r', 'p')`;

/** @throws Error where PostgreSQL returned no row */
export async function findPlace(
  pg: Queryable,
  { name, relation }: Pick<ReplicatedTable, 'name' | 'relation'>,
): Promise<Place> {
  const found = await pg.query<Place>(
    /* sql */ `select case when c.oid is not null
          then pg_catalog.jsonb_build_object('schema', n.nspname, 'table', c.relname) end as name,
        c.oid is null or pg_catalog.has_schema_privilege(n.oid, 'usage') as usable, current_user::text as role,
        exists (${othersSql('$2::text', '$3::text', 'wanted.oid')}) as taken
      from (select $1::pg_catalog.oid as oid) wanted
      left join (pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace) on c.oid = wanted.oid`,
    [relation, name.schema, name.table],
  );
  const [place] = found.rows;
  if (place === undefined) throw new Error('a select of one row returned none');
  return place;
}

/** @returns the oid of the table that has a name, decimal; undefined where none has */
export async function findRelation(pg: Queryable, { schema, table }: TableName): Promise<string | undefined> {
  const found = await pg.query<{ relation: string }>(
    /* sql */ `select c.oid::text as relation
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = $1 and c.relname = $2`,
    [schema, table],
  );
  return found.rows[0]?.relation;
}

/** What a table is called now, also where nobody has noted that yet; where it is gone, or another one has its name, the name that is known. */
export async function currentName(
  pg: Queryable,
  table: Pick<ReplicatedTable, 'name' | 'source' | 'relation'>,
): Promise<TableName> {
  const { name, taken } = await findPlace(pg, table);
  return name === null || taken ? sourceName(table) : name;
}

/** Tables that have a name, but for one. @param schema, table, relation SQL */
export function othersSql(schema: string, table: string, relation: string): string {
  return /* sql */ `select from pg_catalog.pg_class other join pg_catalog.pg_namespace place on place.oid = other.relnamespace
    where place.nspname = ${schema} and other.relname = ${table} and other.relkind in ${TABLES} and other.oid <> ${relation}`;
}

/**
 * A table that was renamed is followed. Where another one has its old name, a person may mean either: most who swap two tables so want
 * the new one, and it has other rows.
 * @throws Failure `MissingTable`, `Unauthorized`
 */
export function requirePlace(
  table: Pick<ReplicatedTable, 'name' | 'columns'> & Partial<Pick<ReplicatedTable, 'key' | 'route' | 'excluded'>>,
  { name, usable, role, taken }: Place,
): TableName {
  const title = formatTableName(table.name);
  if (name === null)
    throw new Failure('MissingTable', {
      message: taken
        ? `${title} is another table now than the one that was added, which was dropped.`
        : `${title} was dropped in PostgreSQL.`,
      remedy:
        `To end it here, run pg2click remove ${shellName(table.name)}; its ClickHouse table stays. ` +
        `To go on with another table of that name: ${again(table)}`,
    });
  const now = formatTableName(name);
  if (taken)
    throw new Failure('MissingTable', {
      message: `${title} is another table now than the one that was added, which is ${now} now.`,
      remedy:
        `To go on with the table that has the name now: ${again(table)} To go on with the one that was added: ` +
        `give ${now} its name back, or the other table another one, then resume.`,
    });
  if (usable) return name;
  const what = isSameName(name, table.name) ? '' : `${title} is ${now} now, and `;
  const { schema } = name;
  throw new Failure('Unauthorized', {
    message: `${what}${what === '' ? 'The' : 'the'} PostgreSQL role "${role}" may not use the schema ${schema}.`,
    remedy:
      `Run in PostgreSQL: grant usage on schema ${quotePg(schema)} to ${quotePg(role)}; ` +
      `grant select, trigger on table ${qualified(name)} to ${quotePg(role)}. Then resume.`,
  });
}

function again(table: Parameters<typeof requirePlace>[0]): string {
  return copyAgainRemedy({ ...table, key: table.key }, { dropTarget: true });
}
