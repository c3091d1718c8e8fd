import type { Queryable } from '../../connect/queryable.js';
import { columnType } from '../../domain/column-type.js';
import { quotePg } from '../../domain/identifier.js';
import type { Column, ReplicatedTable } from '../../domain/replicated-table.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { formatTableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { filterFailure } from '../filter-failure.js';
import { ownRows } from '../outbox/names.js';
import { BEGIN_READING } from '../session.js';

const QUERY_CANCELED = '57014';
/** A table of up to so many bytes is read; of a larger one, PostgreSQL's statistics are. */
const READ_BYTES = 32 * 1024 * 1024;

export type ExaminedTable = Pick<ReplicatedTable, 'name' | 'relation' | 'columns' | 'where'>;

/**
 * Looks for values that would be refused: those without a place in ClickHouse, in columns whose policy is `refuse`. In a large table
 * the statistics know a few hundred values of each column, the lowest and the highest among them, so what is rare in between is not found.
 * @param pg a connection of its own, not in a transaction
 * @returns the columns that have some; none where it takes longer than 10 s
 */
export async function findOutside(pg: Queryable, table: ExaminedTable): Promise<readonly Column[]> {
  const { name, relation, columns } = table;
  const narrow = columns.filter((column) => {
    const { policy = 'refuse' } = column;
    return policy === 'refuse' && columnType(column).outside !== undefined;
  });
  if (narrow.length === 0) return [];
  try {
    await pg.query(`${BEGIN_READING}; set local statement_timeout = '10s'`);
    const size = await pg.query<{ small: boolean }>(
      /* sql */ `select c.relkind <> 'p' and pg_catalog.pg_relation_size(c.oid) <= ${READ_BYTES} as small
        from pg_catalog.pg_class c where c.oid = $1::pg_catalog.oid`,
      [relation],
    );
    const found =
      size.rows[0]?.small === true ? await readRows(pg, table, narrow) : await readStatistics(pg, name, narrow);
    await pg.query('commit');
    return narrow.filter((_, index) => found[index] === true);
  } catch (error) {
    await pg.query('rollback').catch(() => undefined);
    // What is not known yet is found by the first load.
    if ((error as { code?: unknown }).code === QUERY_CANCELED) return [];
    const ofFilter = filterFailure(table, error);
    if (ofFilter === undefined) throw classifyPostgres(error, `looking at values of ${formatTableName(name)}`);
    const remedy = 'Correct the row, or choose a --where that no row fails.';
    throw new Failure(ofFilter.kind, { message: ofFilter.message, remedy, cause: error });
  }
}

type Found = readonly (boolean | null)[];

async function readRows(pg: Queryable, table: ExaminedTable, columns: readonly Column[]): Promise<Found> {
  const conditions = columns.map(
    (column) => `coalesce(bool_or(${isOutside(column, `source.${quotePg(column.name)}`)}), false)`,
  );
  const rows = await pg.query<{ found: Found }>(
    /* sql */ `select array[${conditions.join(', ')}] as found from ${ownRows(table)} source`,
  );
  return rows.rows[0]?.found ?? [];
}

async function readStatistics(
  pg: Queryable,
  name: ReplicatedTable['name'],
  columns: readonly Column[],
): Promise<Found> {
  const found: boolean[] = [];
  for (const column of columns) {
    // Only types of PostgreSQL's own have values without a place: their names need no schema.
    const rows = await pg.query<{ found: boolean }>(
      /* sql */ `with known as materialized (
          select coalesce(s.histogram_bounds::text::text[], '{}') || coalesce(s.most_common_vals::text::text[], '{}') as list
          from pg_catalog.pg_stats s where s.schemaname = $1 and s.tablename = $2 and s.attname = $3
        )
        select exists (
          select from known cross join unnest(known.list) value where ${isOutside(column, `value::${column.type}`)}) as found`,
      [name.schema, name.table, column.name],
    );
    found.push(rows.rows[0]?.found === true);
  }
  return found;
}

function isOutside(column: Column, value: string): string {
  return columnType(column).outside?.when(value) ?? 'false';
}
