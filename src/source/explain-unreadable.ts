import type { Queryable } from '../connect/queryable.js';
import { quotePg } from '../domain/identifier.js';
import { formatTableName, type TableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';

/**
 * What one statement about many tables met, with the name of the first table that this role may not read, and the statement that
 * grants it. PostgreSQL names it too, but not its schema, and in a language of its own.
 * @returns `met` itself where it is something else
 */
export async function explainUnreadable(pg: Queryable, tables: readonly TableName[], met: unknown): Promise<unknown> {
  if (!(met instanceof Failure) || met.kind !== 'Unauthorized') return met;
  const found = await pg.query<TableName & { role: string; usable: boolean }>(
    /* sql */ `select wanted.schema, wanted.name as "table", current_user::text as role,
        pg_catalog.has_schema_privilege(n.oid, 'usage') as usable
      from unnest($1::text[], $2::text[]) with ordinality wanted (schema, name, position)
      join pg_catalog.pg_namespace n on n.nspname = wanted.schema
      join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
      where not (pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(c.oid, 'select'))
      order by wanted.position limit 1`,
    [tables.map(({ schema }) => schema), tables.map(({ table }) => table)],
  );
  const [row] = found.rows;
  if (row === undefined) return met;
  const { schema, table, role, usable } = row;
  const usage = usable ? '' : `grant usage on schema ${quotePg(schema)} to ${quotePg(role)}; `;
  return new Failure('Unauthorized', {
    message: `The PostgreSQL role "${role}" may not read ${formatTableName({ schema, table })}.`,
    remedy: `Run in PostgreSQL: ${usage}grant select on table ${quotePg(schema)}.${quotePg(table)} to ${quotePg(role)}`,
    cause: met.cause,
  });
}
