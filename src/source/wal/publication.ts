import type { Queryable } from '../../connect/queryable.js';
import { literal, quotePg } from '../../domain/identifier.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { THEN_GO_ON } from '../../failure/remedies.js';
import { walRoleScript } from '../../package-root.js';
import { qualified } from '../outbox/names.js';

const OPTIONS = `publish = 'insert, update, delete, truncate', publish_via_partition_root = true`;

/** Whether the functions of that script are there for us, without naming a schema that we may not look into. */
const MAY_CALL = /* sql */ `select exists (
  select from pg_catalog.pg_proc f join pg_catalog.pg_namespace s on s.oid = f.pronamespace
  where s.nspname = 'pg2click_admin' and f.proname = 'publish'
    and pg_catalog.has_schema_privilege(s.oid, 'usage') and pg_catalog.has_function_privilege(f.oid, 'execute')) as may`;

/**
 * What can be refused before anything is started. A publication of ours that is there already may be of an administrator, who may have put
 * the table into it: what is not known here, `publish` finds.
 * @throws Failure `Unauthorized` the role can neither publish the table itself nor let the functions of that script do it
 */
export async function requireMayPublish(pg: Queryable, { name, relation }: PublishedTable): Promise<void> {
  const [own] = (await pg.query<{ may: boolean }>(MAY_PUBLISH, [relation])).rows;
  if (own?.may === true || (await mayCall(pg))) return;
  throw mayNot(`publish ${formatTableName(name)}`);
}

/** As the owner, in a database where the role may create a publication or has one; or where the table is in one. */
const MAY_PUBLISH = /* sql */ `select (
    pg_catalog.pg_has_role(c.relowner, 'usage') and (
      pg_catalog.has_database_privilege(pg_catalog.current_database(), 'create')
      or exists (select from pg_catalog.pg_publication p where p.pubname ~ '^pg2click_' and pg_catalog.pg_has_role(p.pubowner, 'usage')))
  ) or exists (
    select from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid
    where p.pubname ~ '^pg2click_' and r.prrelid = c.oid) as may
  from pg_catalog.pg_class c where c.oid = $1::oid`;

type PublishedTable = Pick<ReplicatedTable, 'name' | 'relation'>;

/**
 * What identifies a publication: its oid and the transaction that wrote its options last; empty where it is missing or does not publish
 * everything. Changes that are made while it is missing, or is another one, are never sent, and PostgreSQL 18 says nothing of it.
 */
export async function readPublication(pg: Queryable, name: string): Promise<string> {
  const found = await pg.query<{ text: string }>(
    /* sql */ `select p.oid || '/' || p.xmin as text from pg_catalog.pg_publication p
      where p.pubname = $1 and p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate and p.pubviaroot
        and not p.puballtables`,
    [name],
  );
  return found.rows[0]?.text ?? '';
}

/** The oid of a table's entry in a publication, decimal: one that was taken out and put in again has another. Empty: it has none. */
export async function readMembership(pg: Queryable, name: string, relation: string): Promise<string> {
  const found = await pg.query<{ oid: string }>(
    /* sql */ `select r.oid::text as oid from pg_catalog.pg_publication_rel r
      join pg_catalog.pg_publication p on p.oid = r.prpubid
      where p.pubname = $1 and r.prrelid = $2::oid`,
    [name, relation],
  );
  return found.rows[0]?.oid ?? '';
}

/** Makes the publication where it is missing, or again where somebody has changed what it publishes. @throws Failure `Unauthorized` */
export async function ensurePublication(pg: Queryable, name: string): Promise<void> {
  if ((await readPublication(pg, name)) !== '') return;
  await asAdmin(pg, {
    call: /* sql */ `select pg2click_admin.make_publication(${literal(name)})`,
    own: /* sql */ `drop publication if exists ${quotePg(name)}; create publication ${quotePg(name)} with (${OPTIONS})`,
    what: `make the publication ${name}`,
  });
}

/** Adds a table, where it is not in it. Takes a lock that holds off ALTER and VACUUM, and neither readers nor writers. */
export async function publish(
  pg: Queryable,
  name: string,
  table: Pick<ReplicatedTable, 'name' | 'source' | 'relation'>,
): Promise<void> {
  if ((await readMembership(pg, name, table.relation)) !== '') return;
  const source = qualified(sourceName(table));
  await asAdmin(pg, {
    call: /* sql */ `select pg2click_admin.publish(${literal(source)}::regclass, ${literal(name)})`,
    own: /* sql */ `alter publication ${quotePg(name)} add table only ${source}`,
    what: `publish ${formatTableName(table.name)}`,
  });
}

/** Takes a table out, wherever it is by now; one that was dropped went by itself. */
export async function unpublish(pg: Queryable, name: string, relation: string): Promise<void> {
  if ((await readMembership(pg, name, relation)) === '') return;
  const found = await pg.query<{ source: string }>(
    /* sql */ `select pg_catalog.format('%I.%I', n.nspname, c.relname) as source
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.oid = $1::oid`,
    [relation],
  );
  const source = found.rows[0]?.source;
  if (source === undefined) return;
  await asAdmin(pg, {
    call: /* sql */ `select pg2click_admin.unpublish(${literal(source)}::regclass, ${literal(name)})`,
    own: /* sql */ `alter publication ${quotePg(name)} drop table only ${source}`,
    what: `take ${source} out of the publication ${name}`,
  });
}

export async function dropPublication(pg: Queryable, name: string): Promise<void> {
  const found = await pg.query(/* sql */ `select from pg_catalog.pg_publication where pubname = $1`, [name]);
  if (found.rowCount === 0) return;
  await asAdmin(pg, {
    call: /* sql */ `select pg2click_admin.drop_publication(${literal(name)})`,
    own: /* sql */ `drop publication if exists ${quotePg(name)}`,
    what: `drop the publication ${name}`,
  });
}

/** By the function of an administrator where there is one: else our role has to own the table. */
async function asAdmin(
  pg: Queryable,
  { call, own, what }: { readonly call: string; readonly own: string; readonly what: string },
): Promise<void> {
  const statement = (await mayCall(pg)) ? call : own;
  try {
    await pg.query(statement);
  } catch (error) {
    const failure = classifyPostgres(error, `trying to ${what}`);
    if (failure.kind !== 'Unauthorized') throw failure;
    throw mayNot(what, error);
  }
}

async function mayCall(pg: Queryable): Promise<boolean> {
  return (await pg.query<{ may: boolean }>(MAY_CALL)).rows[0]?.may === true;
}

function mayNot(what: string, cause?: unknown): Failure {
  return new Failure('Unauthorized', {
    message: `The PostgreSQL role may not ${what}, which takes the owner of the table.`,
    remedy: `Let an administrator run ${walRoleScript} in the database of the tables, ${THEN_GO_ON}. Or add it with --capture outbox, after its removal if it was added.`,
    cause,
  });
}
