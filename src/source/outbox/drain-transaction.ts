import { type ClientBase, type QueryConfig, type QueryResult } from 'pg';
import { rowsOfLast, type Queryable } from '../../connect/queryable.js';
import type { OutboxBatch } from '../../domain/batch.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import type { Failure } from '../../failure/failure.js';
import { explainMissing, lockRowSchemaSql, requireRowSchema, sourceChanged } from '../catalog/row-schema.js';
import { filterFailure, isDataError } from '../filter-failure.js';
import { LOOK_UP_BY_INDEX } from '../session.js';
import { keysSql } from './drain-keys.js';
import { outboxTable } from './names.js';

/** Waits for a lock 2 s at most: what takes this long hangs on a connection that died without a word. */
const FIRST_ANSWER_MS = 15_000;

/** What reading a batch has to know of its table. */
export type ReadTable = Pick<
  ReplicatedTable,
  'id' | 'name' | 'source' | 'relation' | 'columns' | 'where' | 'shape' | 'key' | 'generation'
> &
  Partial<Pick<ReplicatedTable, 'route' | 'shapes' | 'excluded'>>;

/**
 * Begins the transaction in which a batch is read, in one round trip: the columns of the table are locked, and are those that were
 * added.
 * @param begin how it begins: `BEGIN_READING` or `BEGIN_SNAPSHOT`
 * @param query of the same message, after the lock
 * @returns what the query found
 * @throws Failure as `requireRowSchema`; what PostgreSQL throws
 */
export async function beginDrain<Row>(
  pg: ClientBase,
  table: ReadTable,
  begin: string,
  query?: string,
): Promise<readonly Row[]> {
  const statements = [begin, LOOK_UP_BY_INDEX, lockRowSchemaSql(table), ...(query === undefined ? [] : [query])];
  const message = { text: statements.join(';'), query_timeout: FIRST_ANSWER_MS };
  const found: unknown = await pg.query(message as QueryConfig);
  const results = found as readonly QueryResult[];
  await requireRowSchema(pg, query === undefined ? results : results.slice(0, -1), table);
  return rowsOfLast<Row>(results);
}

/** Rolls back where it has to ask what became of the table. @returns the failure of a reading that threw `error` */
export async function explainDrain(
  pg: ClientBase,
  table: ReadTable,
  batch: OutboxBatch,
  error: unknown,
): Promise<Failure> {
  const failure = classifyPostgres(error, `reading batch ${batch.batch} of ${formatTableName(table.name)}`);
  if (failure === error) return failure;
  if (failure.kind === 'MissingTable') return explainMissing(failure, error);
  if (failure.kind !== 'SourceChanged' && !isDataError(error)) return failure;
  try {
    await pg.query('rollback');
    const ofFilter = filterFailure(table, error);
    if (ofFilter !== undefined && (await hasReadableKeys(pg, table, batch))) return ofFilter;
    return await sourceChanged(pg, table, 'has changed keys that do not fit its key columns any more', error);
  } catch {
    return failure;
  }
}

/** Whether it is not for the keys of a batch that it cannot be read. */
async function hasReadableKeys(pg: ClientBase, table: ReadTable, batch: OutboxBatch): Promise<boolean> {
  const options = { hasLoose: await hasLooseKeys(pg, table), marks: false };
  try {
    await pg.query(/* sql */ `select count(*) ${keysSql(table, batch, options)}`);
    return true;
  } catch (error) {
    if (isDataError(error)) return false;
    throw error;
  }
}

/** The failure of a batch with a mark `x`. */
export function unknownKeys(pg: Queryable, table: ReadTable): Promise<Failure> {
  return sourceChanged(pg, table, 'has rows that changed while their keys were unknown');
}

/** Of a table's columns, whether its outbox has a column `loose`: it keeps the form that it was made in. */
const LOOSE_KEYS = new WeakMap<ReplicatedTable['columns'], boolean>();

/** An outbox that an older version made has no place for keys as text. */
export async function hasLooseKeys(
  pg: Queryable,
  { id, columns }: Pick<ReplicatedTable, 'id' | 'columns'>,
): Promise<boolean> {
  const known = LOOSE_KEYS.get(columns);
  if (known !== undefined) return known;
  const found = await pg.query<{ loose: boolean }>(
    /* sql */ `select exists (
      select from pg_attribute a
      where a.attrelid = to_regclass($1) and a.attname = 'loose' and not a.attisdropped) as loose`,
    [outboxTable(id)],
  );
  const loose = found.rows[0]?.loose === true;
  LOOSE_KEYS.set(columns, loose);
  return loose;
}
