import type { Queryable } from '../../connect/queryable.js';
import type { TableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';

/** A table that a pattern may mean. */
export interface NamedTable {
  readonly name: TableName;
  /** The partitioned tables that it is a part of, nearest first; none for a table that stands alone. */
  readonly partOf: readonly TableName[];
  /** How many partitions it has, at every level; 0 where it is not partitioned. */
  readonly partitions: number;
}

/**
 * Every table of the database but those of PostgreSQL and our own, by name. Views, foreign and temporary tables are none.
 * @throws Failure `SourceUnavailable` and its like
 */
export async function listNamedTables(pg: Queryable): Promise<readonly NamedTable[]> {
  try {
    const found = await pg.query<NamedTable>(/* sql */ `
      select jsonb_build_object('schema', n.nspname, 'table', c.relname) as name,
        coalesce((
          select jsonb_agg(jsonb_build_object('schema', s.nspname, 'table', a.relname) order by above.place)
          from pg_catalog.pg_partition_ancestors(c.oid) with ordinality above (relation, place)
          join pg_catalog.pg_class a on a.oid = above.relation
          join pg_catalog.pg_namespace s on s.oid = a.relnamespace
          where c.relispartition and above.relation <> c.oid), '[]') as "partOf",
        case when c.relkind = 'p'
          then (select count(*)::int from pg_catalog.pg_partition_tree(c.oid) part where part.isleaf) else 0 end as partitions
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and c.relpersistence <> 't'
        and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'pg2click', 'pg2click_admin')
      order by n.nspname, c.relname`);
    return found.rows;
  } catch (error) {
    throw classifyPostgres(error, 'listing the tables');
  }
}
