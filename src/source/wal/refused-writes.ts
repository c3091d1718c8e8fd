import type { Queryable } from '../../connect/queryable.js';
import { Failure } from '../../failure/failure.js';
import { THEN_GO_ON } from '../../failure/remedies.js';
import { identityStatement, type IdentifiedTable, type ReplicaIdentity } from './identity.js';

/** The first `server_version_num` that refuses them: earlier servers leave generated columns out of the old row. */
const FIRST_REFUSING = 180_000;

/**
 * Once it is published, PostgreSQL fails the user's UPDATE and DELETE of a table with the replica identity FULL and a generated column.
 * The option `publish_generated_columns` would allow it for stored columns alone, and for all tables of a publication at once.
 * @returns the table or a partition of it, as SQL; undefined where there is none
 */
export async function findRefusedWrites(pg: Queryable, relation: string): Promise<string | undefined> {
  const found = await pg.query<{ name: string }>(
    /* sql */ `select pg_catalog.format('%I.%I', n.nspname, c.relname) as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where (c.oid = $1::oid or c.oid in (select part.relid from pg_catalog.pg_partition_tree($1::oid) part))
        and c.relkind = 'r' and c.relreplident = 'f'
        and pg_catalog.current_setting('server_version_num')::int >= ${FIRST_REFUSING}
        and exists (select from pg_catalog.pg_attribute a
          where a.attrelid = c.oid and a.attgenerated <> '' and not a.attisdropped)
      order by c.oid limit 1`,
    [relation],
  );
  return found.rows[0]?.name;
}

/** @returns what makes PostgreSQL take the writes again, as a clause */
export function allowWrites(table: IdentifiedTable, identity: ReplicaIdentity, part: string, isLog: boolean): string {
  if (isLog) return `Drop the generated columns of ${part}`;
  const own =
    identity.kind === 'f' ? identityStatement(table, { ...identity, columns: [] }, { whole: false }) : undefined;
  return `Run in PostgreSQL: ${own ?? `alter table ${part} replica identity default`}`;
}

/** @throws Failure `UnsuitableTable` with what allows the writes */
export async function requireWrites(
  pg: Queryable,
  table: IdentifiedTable,
  identity: ReplicaIdentity,
  { isLog }: { readonly isLog: boolean },
): Promise<void> {
  const part = await findRefusedWrites(pg, table.relation);
  if (part === undefined) return;
  const first = allowWrites(table, identity, part, isLog);
  throw new Failure('UnsuitableTable', {
    message: `${part} has a generated column and the replica identity FULL: once it is published, PostgreSQL refuses its UPDATE and DELETE.`,
    remedy: `${first}; ${THEN_GO_ON}. Or add it ${isLog ? 'without --engine log' : 'with --capture outbox'}.`,
  });
}
