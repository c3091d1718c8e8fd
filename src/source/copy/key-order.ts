import type { Queryable } from '../../connect/queryable.js';
import type { Column, ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';

/** Those of a B-tree, each as `operator(schema.name)`. An extension may have other names for them, as `#<#` of hstore. */
export interface Operators {
  readonly less: string;
  readonly lessOrEqual: string;
  readonly equal: string;
  readonly greaterOrEqual: string;
  readonly greater: string;
}

/** How PostgreSQL orders the values of a key column. Every name is qualified: a session of ours finds those of pg_catalog only. */
export interface KeyColumn {
  readonly name: string;
  /** Its type without modifiers; that which a domain is made of, whose constraints a bound need not obey. */
  readonly type: string;
  readonly operators: Operators;
  /** Null for a type that has none. */
  readonly collation: string | null;
  /** In the index. */
  readonly isDescending: boolean;
  /**
   * How its texts are compared by their UTF-8 bytes: `index` as the index does, `collate` by another collation, `convert` in another
   * encoding. Null for a type that is no text.
   */
  readonly bytes: 'index' | 'collate' | 'convert' | null;
}

/** The columns of a key, in key order. */
export type KeyOrder = readonly KeyColumn[];

type KeyOwner = Pick<ReplicatedTable, 'name' | 'relation' | 'columns'> & Partial<Pick<ReplicatedTable, 'key'>>;

/** From the index that guarantees the key: it says by which operators and collations the key is compared. */
const KEY_ORDER = /* sql */ `
  select a.attname::text as name, pg_catalog.format('%I.%I', tn.nspname, t.typname) as type,
    (
      select pg_catalog.jsonb_object_agg(
        (array['less', 'lessOrEqual', 'equal', 'greaterOrEqual', 'greater'])[p.amopstrategy],
        pg_catalog.format('operator(%I.%s)', n.nspname, o.oprname))
      from pg_catalog.pg_amop p
      join pg_catalog.pg_operator o on o.oid = p.amopopr
      join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
      where p.amopfamily = c.opcfamily and p.amoplefttype = c.opcintype and p.amoprighttype = c.opcintype
        and p.amoppurpose = 's') as operators,
    (select pg_catalog.format('%I.%I', n.nspname, k.collname) from pg_catalog.pg_collation k
      join pg_catalog.pg_namespace n on n.oid = k.collnamespace where k.oid = a.attcollation) as collation,
    i.indoption[part.place - 1] & 1 = 1 as "isDescending",
    case when t.oid not in ('pg_catalog.text'::pg_catalog.regtype, 'pg_catalog.varchar'::pg_catalog.regtype, 'pg_catalog.name'::pg_catalog.regtype) then null
      when pg_catalog.getdatabaseencoding() not in ('UTF8', 'SQL_ASCII') then 'convert'
      when a.attcollation in ('pg_catalog."C"'::pg_catalog.regcollation, 'pg_catalog."POSIX"'::pg_catalog.regcollation) then 'index'
      when a.attcollation = 'pg_catalog."default"'::pg_catalog.regcollation and d.bytes then 'index'
      else 'collate' end as bytes
  from (
    select i.* from pg_catalog.pg_index i
    join pg_catalog.pg_class x on x.oid = i.indexrelid
    join pg_catalog.pg_am m on m.oid = x.relam
    cross join lateral (
      select array_agg(a.attname::text order by part.place) as columns,
        bool_and((c.opcdefault or c.opcname = 'varchar_ops') and i.indcollation[part.place - 1] = a.attcollation) as plain
      from pg_catalog.generate_series(1, i.indnkeyatts::int) part (place)
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[part.place - 1]
      join pg_catalog.pg_opclass c on c.oid = i.indclass[part.place - 1]
    ) parts
    where i.indrelid = $1::pg_catalog.oid and i.indisunique and i.indisvalid and i.indimmediate and m.amname = 'btree'
      and i.indpred is null and i.indexprs is null and parts.columns = $2::text[] and parts.plain
    order by i.indisprimary desc, x.relname limit 1
  ) i
  cross join lateral pg_catalog.generate_series(1, i.indnkeyatts::int) part (place)
  join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[part.place - 1]
  join pg_catalog.pg_opclass c on c.oid = i.indclass[part.place - 1]
  cross join lateral (
    with recursive level (type, depth) as (
      select a.atttypid, 0
      union all
      select d.typbasetype, level.depth + 1
      from level join pg_catalog.pg_type d on d.oid = level.type and d.typtype = 'd'
    )
    select level.type from level order by level.depth desc limit 1
  ) base
  join pg_catalog.pg_type t on t.oid = base.type
  join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
  cross join (
    select case coalesce(pg_catalog.to_jsonb(d) ->> 'datlocprovider', 'c')
      when 'c' then d.datcollate in ('C', 'POSIX') else pg_catalog.to_jsonb(d) ->> 'datlocprovider' = 'b' end as bytes
    from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()
  ) d
  order by part.place`;

/** Of a table's columns, what was found: a change of the key's types gives the table other columns. */
const KNOWN = new WeakMap<readonly Column[], KeyOrder>();

/** @throws Failure `UnsuitableTable` where no index guarantees the key any more, and those of PostgreSQL */
export async function readKeyOrder(pg: Queryable, { name, relation, columns, key = [] }: KeyOwner): Promise<KeyOrder> {
  const known = KNOWN.get(columns);
  if (known !== undefined) return known;
  const title = formatTableName(name);
  try {
    const found = await pg.query<KeyColumn>(KEY_ORDER, [relation, key]);
    if (found.rows.length === 0)
      throw new Failure('UnsuitableTable', {
        message: `${title} has no unique index on exactly (${key.join(', ')}) any more.`,
        remedy:
          'Create that unique index again, not deferrable and on NOT NULL columns, then repeat what you asked for.',
      });
    KNOWN.set(columns, found.rows);
    return found.rows;
  } catch (error) {
    throw classifyPostgres(error, `reading the key of ${title}`);
  }
}
