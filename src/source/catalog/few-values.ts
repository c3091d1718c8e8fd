import type { Queryable } from '../../connect/queryable.js';
import { columnType } from '../../domain/column-type.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { formatTableName } from '../../domain/table-name.js';

/** Below so many rows a column takes little room whatever its type. */
const ROWS = 100_000;
/** ClickHouse keeps a dictionary of this many values in a part; above it LowCardinality costs more than it saves. */
const VALUES = 8_192;

export interface FewValues {
  readonly column: string;
  /** As PostgreSQL estimates them. */
  readonly values: number;
}

/**
 * Columns of texts that have few distinct values, by the statistics of PostgreSQL: with LowCardinality they take less room in ClickHouse.
 * @returns none for a small table, and for one that was never analyzed
 */
export async function findFewValues(
  pg: Queryable,
  table: Pick<ReplicatedTable, 'name' | 'source' | 'relation' | 'columns'>,
): Promise<readonly FewValues[]> {
  const texts = table.columns.filter(
    (column) => columnType(column).clickhouse({ ...column, nullable: false }) === 'String',
  );
  if (texts.length === 0) return [];
  const { schema, table: name } = sourceName(table);
  const query = /* sql */ `select s.attname as "column",
      case when s.n_distinct < 0 then -s.n_distinct * c.reltuples else s.n_distinct end::float8 as values
    from pg_catalog.pg_class c
    join pg_catalog.pg_stats s on s.schemaname = $2 and s.tablename = $3 and s.inherited = (c.relkind = 'p')
    where c.oid = $1::pg_catalog.oid and c.reltuples >= ${ROWS} and s.n_distinct <> 0 and s.attname = any ($4)
    order by s.attname`;
  try {
    const found = await pg.query<FewValues>(query, [table.relation, schema, name, texts.map((column) => column.name)]);
    return found.rows
      .filter(({ values }) => values <= VALUES)
      .map(({ column, values }) => ({ column, values: Math.ceil(values) }));
  } catch (error) {
    throw classifyPostgres(error, `reading the statistics of ${formatTableName(table.name)}`);
  }
}
