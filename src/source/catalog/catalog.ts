import type { Column } from '../../domain/replicated-table.js';
import type { TableName } from '../../domain/table-name.js';
import type { Queryable } from '../../connect/queryable.js';

/** A relation as `pg_class` and its neighbours tell it, with everything that decides whether it can be replicated. */
export interface CatalogTable {
  /** `pg_class.oid`, decimal. */
  readonly relation: string;
  /** `pg_class.relkind`. */
  readonly kind: string;
  /** `pg_class.relpersistence`. */
  readonly persistence: string;
  /** A partition of another table, or a child of one by INHERITS: statements that name its parent change its rows. */
  readonly isChild: boolean;
  /** Tables that inherit from it by INHERITS, `schema.table` as SQL; none for a partitioned table. */
  readonly heirs: readonly string[];
  /** Of a partitioned table, at every level; none for others. */
  readonly partitions: readonly PartitionOf[];
  /** A subscription applies changes to it. */
  readonly subscribed: boolean;
  /** Row-level security would hide rows from our role. */
  readonly rowsHidden: boolean;
  readonly rights: TableRights;
  /** `pg_class.reltuples`, null when it was never counted. */
  readonly estimatedRows: number | null;
  readonly columns: readonly Column[];
  readonly uniqueIndexes: readonly UniqueIndex[];
}

/** What our role may do with a table. */
export interface TableRights {
  /** USAGE on its schema. */
  readonly schema: boolean;
  readonly select: boolean;
  readonly trigger: boolean;
  /** As its owner, a member of it or a superuser; or by the function that an administrator made for that. */
  /** Of our role, or by functions of the administrator's. */
  readonly enableTriggers: boolean;
  /** The administrator whose function that is and the owner of the table, of whom he is no member: it would be refused. Else null. */
  readonly adminLacks: { readonly admin: string; readonly owner: string } | null;
}

/** A part of a partitioned table: a leaf, or a partitioned table between. */
export interface PartitionOf {
  /** `pg_class.oid`, decimal. */
  readonly relation: string;
  readonly name: TableName;
  /** `pg_class.relkind`. */
  readonly kind: string;
  /** `pg_class.relpersistence`. */
  readonly persistence: string;
  readonly select: boolean;
  readonly trigger: boolean;
}

export interface UniqueIndex {
  readonly name: string;
  readonly primary: boolean;
  readonly valid: boolean;
  /** Not deferrable. */
  readonly immediate: boolean;
  /** It has a predicate or expressions. */
  readonly incomplete: boolean;
  /** A btree whose `=` is that of the column type and of the column's collation. */
  readonly plain: boolean;
  /** Key columns in index order, without those that are only included. */
  readonly columns: readonly string[];
}

/** The server around the table. */
export interface CatalogServer {
  /** The role that we are. */
  readonly role: string;
  readonly inRecovery: boolean;
  /** Of the database: `UTF8`. */
  readonly encoding: string;
  /** Publications that would publish the outbox too, and break their subscribers. */
  readonly publications: readonly string[];
}

/** Whether the functions of `sql/roles/postgres.sql` are there for us, asked without naming what we may not look into. Older scripts made one. */
const MAY_ENABLE_TRIGGERS = /* sql */ `(
  select count(*) = 2 from pg_catalog.pg_proc f join pg_catalog.pg_namespace s on s.oid = f.pronamespace
  where s.nspname = 'pg2click_admin' and f.proname in ('enable_always', 'enable_replica')
    and pg_catalog.has_schema_privilege(s.oid, 'usage') and pg_catalog.has_function_privilege(f.oid, 'execute'))`;

/** The function runs as the administrator who made it: he has to be a superuser, or a member of the table's owner. */
const ADMIN_LACKS = /* sql */ `(
  select pg_catalog.json_build_object('admin', a.rolname, 'owner', o.rolname)
  from pg_catalog.pg_proc f join pg_catalog.pg_namespace s on s.oid = f.pronamespace
  join pg_catalog.pg_roles a on a.oid = f.proowner join pg_catalog.pg_roles o on o.oid = c.relowner
  where s.nspname = 'pg2click_admin' and f.proname = 'enable_always'
    and not pg_catalog.pg_has_role(c.relowner, 'usage') and not pg_catalog.pg_has_role(f.proowner, c.relowner, 'usage'))`;

/** @returns undefined where no such relation is */
export async function readCatalog(pg: Queryable, name: TableName): Promise<CatalogTable | undefined> {
  const found = await pg.query<
    Omit<CatalogTable, 'rights' | 'columns' | 'uniqueIndexes' | 'partitions'> & { rights: string }
  >(
    /* sql */ `
    select c.oid::text as relation, c.relkind::text as kind, c.relpersistence::text as persistence,
      exists (select from pg_catalog.pg_inherits i where i.inhrelid = c.oid) as "isChild",
      case when c.relkind = 'p' then '{}' else array(
        select pg_catalog.format('%I.%I', s.nspname, h.relname) from pg_catalog.pg_inherits i
        join pg_catalog.pg_class h on h.oid = i.inhrelid join pg_catalog.pg_namespace s on s.oid = h.relnamespace
        where i.inhparent = c.oid order by 1) end as heirs,
      exists (select from pg_catalog.pg_subscription_rel s where s.srrelid = c.oid) as subscribed,
      c.relkind in ('r', 'p') and pg_catalog.row_security_active(c.oid) as "rowsHidden",
      pg_catalog.json_build_object(
        'schema', pg_catalog.has_schema_privilege(n.oid, 'usage'),
        'select', pg_catalog.has_table_privilege(c.oid, 'select'),
        'trigger', pg_catalog.has_table_privilege(c.oid, 'trigger'),
        'enableTriggers', pg_catalog.pg_has_role(c.relowner, 'usage') or ${MAY_ENABLE_TRIGGERS},
        'adminLacks', ${ADMIN_LACKS})::text as rights,
      case when c.relkind = 'p' then (
        select pg_catalog.sum(l.reltuples::float8)
        from pg_catalog.pg_partition_tree(c.oid) part join pg_catalog.pg_class l on l.oid = part.relid
        where part.isleaf and l.reltuples >= 0)
        when c.reltuples >= 0 then c.reltuples::float8 end as "estimatedRows"
    from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = $1 and c.relname = $2`,
    [name.schema, name.table],
  );
  const table = found.rows[0];
  if (table === undefined) return undefined;
  return {
    ...table,
    rights: JSON.parse(table.rights) as TableRights,
    columns: await readColumns(pg, table.relation),
    uniqueIndexes: await readUniqueIndexes(pg, table.relation),
    partitions: table.kind === 'p' ? await readPartitions(pg, table.relation) : [],
  };
}

/** The parts of a partitioned table, at every level, without itself. */
export async function readPartitions(pg: Queryable, relation: string): Promise<PartitionOf[]> {
  const found = await pg.query<PartitionOf>(
    /* sql */ `
    select l.oid::text as relation, l.relkind::text as kind, l.relpersistence::text as persistence,
      pg_catalog.jsonb_build_object('schema', n.nspname, 'table', l.relname) as name,
      pg_catalog.has_schema_privilege(n.oid, 'usage') and pg_catalog.has_table_privilege(l.oid, 'select') as select,
      pg_catalog.has_table_privilege(l.oid, 'trigger') as trigger
    from pg_catalog.pg_partition_tree($1::oid) part
    join pg_catalog.pg_class l on l.oid = part.relid
    join pg_catalog.pg_namespace n on n.oid = l.relnamespace
    where part.level > 0
    order by part.level, l.oid`,
    [relation],
  );
  return found.rows;
}

/** Tables of this name, or of one that differs in capitals, the likeliest first: for the person who forgot a schema, or quotes. */
export async function findTablesLike(pg: Queryable, { schema, table }: TableName): Promise<readonly TableName[]> {
  const found = await pg.query<TableName>(
    /* sql */ `select n.nspname::text as schema, c.relname::text as "table"
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where pg_catalog.lower(c.relname) = pg_catalog.lower($2) and c.relkind in ('r', 'p')
      order by c.relname = $2 desc, n.nspname = $1 desc, 1, 2`,
    [schema, table],
  );
  return found.rows;
}

export async function readServer(pg: Queryable): Promise<CatalogServer> {
  const found = await pg.query<Omit<CatalogServer, 'publications'>>(/* sql */ `
    select current_user::text as role, pg_catalog.pg_is_in_recovery() as "inRecovery",
      pg_catalog.current_setting('server_encoding') as encoding`);
  const [row] = found.rows;
  if (row === undefined) throw new Error('a select without a table returned no row');
  return { ...row, publications: await findPublications(pg) };
}

/** Publications of all tables, or of those of schema pg2click: they publish the outboxes too, and break their subscribers. */
export async function findPublications(pg: Queryable): Promise<readonly string[]> {
  const found = await pg.query<{ publications: readonly string[]; bySchema: boolean }>(/* sql */ `
    select array(select p.pubname::text from pg_catalog.pg_publication p where p.puballtables order by 1) as publications,
      pg_catalog.to_regclass('pg_catalog.pg_publication_namespace') is not null as "bySchema"`);
  const { publications = [], bySchema = false } = found.rows[0] ?? {};
  if (!bySchema) return publications;
  const ofSchema = await pg.query<{ name: string }>(/* sql */ `
    select p.pubname::text as name
    from pg_catalog.pg_publication p
    join pg_catalog.pg_publication_namespace s on s.pnpubid = p.oid
    join pg_catalog.pg_namespace n on n.oid = s.pnnspid
    where n.nspname = 'pg2click' order by 1`);
  return [...publications, ...ofSchema.rows.map((row) => row.name)];
}

interface ColumnRow extends Omit<Column, 'equals'> {
  readonly modifier: number;
  readonly equals: string | null;
}

/**
 * The columns by position. A domain counts as the type it is made of. A NOT NULL that was never validated (PostgreSQL 18)
 * counts as nullable, and so does one that only the domain has.
 */
export async function readColumns(pg: Queryable, relation: string): Promise<Column[]> {
  const found = await pg.query<ColumnRow>(
    /* sql */ `
    select a.attname::text as name, a.attnum::int as position, base.modifier,
      case when t.typtype = 'e' then case when a.atttypid = t.oid then 'enum' else 'domain over enum' end
           when t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace then pg_catalog.format_type(t.oid, null)
           when element.typname is not null then n.nspname || '.' || element.typname || '[]'
           else n.nspname || '.' || t.typname end as type,
      case when t.typtype = 'b' and t.typnamespace <> 'pg_catalog'::pg_catalog.regnamespace and element.typname is null then (
        select pg_catalog.format('operator(%s.%s)', o.oprnamespace::pg_catalog.regnamespace::text, o.oprname)
        from pg_catalog.pg_opclass c
        join pg_catalog.pg_am m on m.oid = c.opcmethod and m.amname = 'btree'
        join pg_catalog.pg_amop p on p.amopfamily = c.opcfamily and p.amopstrategy = 3
          and p.amoplefttype = t.oid and p.amoprighttype = t.oid
        join pg_catalog.pg_operator o on o.oid = p.amopopr
        where c.opcintype = t.oid and c.opcdefault) end as equals,
      not a.attnotnull or exists (
        select from pg_catalog.pg_constraint k
        where k.conrelid = a.attrelid and k.contype = 'n' and a.attnum = any (k.conkey) and not k.convalidated
      ) as nullable
    from pg_catalog.pg_attribute a
    cross join lateral (
      with recursive level (type, modifier, depth) as (
        select a.atttypid, a.atttypmod, 0
        union all
        select d.typbasetype, d.typtypmod, level.depth + 1
        from level join pg_catalog.pg_type d on d.oid = level.type and d.typtype = 'd'
      )
      select level.type, level.modifier from level order by level.depth desc limit 1
    ) base
    join pg_catalog.pg_type t on t.oid = base.type
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    left join pg_catalog.pg_type element on element.typarray = t.oid
    where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped
    order by a.attnum`,
    [relation],
  );
  return found.rows.map(({ modifier, equals, ...column }) => ({
    ...column,
    ...(column.type === 'numeric' && modifier >= 0 ? readNumericModifier(modifier) : {}),
    ...(equals === null ? {} : { equals }),
  }));
}

/** The scale is a signed number of 11 bits since PostgreSQL 15; before, it was never that large. */
export function readNumericModifier(modifier: number): { precision: number; scale: number } {
  const packed = modifier - 4;
  return { precision: (packed >> 16) & 0xff_ff, scale: ((packed & 0x7_ff) ^ 0x4_00) - 0x4_00 };
}

/** `atttypmod` of a numeric, as `readNumericModifier` reads it; undefined where the column has no precision. */
export function numericModifier({ precision, scale }: Pick<Column, 'precision' | 'scale'>): number | undefined {
  return precision === undefined || scale === undefined ? undefined : ((precision << 16) | (scale & 0x7_ff)) + 4;
}

/** Every unique index, suitable or not: what keeps one from serving as the key is worth saying. */
export async function readUniqueIndexes(pg: Queryable, relation: string): Promise<UniqueIndex[]> {
  const found = await pg.query<UniqueIndex>(
    /* sql */ `
    select c.relname::text as name, i.indisprimary as primary, i.indisvalid and i.indisready and i.indislive as valid,
      i.indimmediate as immediate, i.indpred is not null or i.indexprs is not null as incomplete,
      m.amname = 'btree' and parts.plain as plain, parts.columns
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_am m on m.oid = c.relam
    cross join lateral (
      select array_agg(a.attname::text order by part.place) as columns,
        coalesce(bool_and((o.opcdefault or o.opcname = 'varchar_ops')
          and i.indcollation[part.place - 1] = a.attcollation), false) as plain
      from generate_series(1, i.indnkeyatts::int) as part (place)
      left join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[part.place - 1]
      left join pg_catalog.pg_opclass o on o.oid = i.indclass[part.place - 1]
    ) parts
    where i.indrelid = $1::oid and i.indisunique
    order by i.indisprimary desc, c.relname`,
    [relation],
  );
  return found.rows;
}
