import type { Queryable } from '../../connect/queryable.js';
import { sourceName, type Column, type ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { policyOf } from '../../failure/kinds.js';
import { fingerprintTable } from './fingerprint.js';
import { inspectTable, type InspectOptions, type TableInspection } from './inspect.js';

type InspectedTable = Pick<
  ReplicatedTable,
  'id' | 'name' | 'source' | 'relation' | 'columns' | 'excluded' | 'where' | 'key'
> &
  Partial<Pick<ReplicatedTable, 'route'>>;

/**
 * Inspects the table again, under a lock that holds off ALTER: between the first look and the lock others may have changed it, or
 * given its name to another table.
 * @returns what was found, with the fingerprint of it
 * @throws Failure `Fenced` where it is not the table that was inspected: the next attempt may succeed
 */
export async function verifyInspected(
  pg: Queryable,
  table: InspectedTable,
  makes?: InspectOptions['makes'],
): Promise<TableInspection & { readonly fingerprint: string }> {
  const now = await inspectAgain(pg, table, makes);
  if (now.relation !== table.relation || columnsAsText(now.columns) !== columnsAsText(table.columns))
    throw changedMeanwhile(table.name);
  return { ...now, fingerprint: await fingerprintTable(pg, table) };
}

export function changedMeanwhile(name: TableName, cause?: unknown): Failure {
  return new Failure('Fenced', {
    message: `${formatTableName(name)} was changed while it was made ready.`,
    remedy: 'It is tried again by itself, with the table as it is then.',
    cause,
  });
}

/** What is refused now was not at the first look; the next attempt says why. */
async function inspectAgain(
  pg: Queryable,
  table: InspectedTable,
  makes: InspectOptions['makes'],
): Promise<TableInspection> {
  try {
    return await inspectTable(pg, sourceName(table), { key: table.key, makes, known: table });
  } catch (error) {
    const isRefused = error instanceof Failure && policyOf(error.kind).treatment === 'parked';
    throw isRefused ? changedMeanwhile(table.name, error) : error;
  }
}

/** In one order: the ledger returns the fields in another one. */
function columnsAsText(columns: readonly Column[]): string {
  return JSON.stringify(
    columns.map(({ name, position, type, precision, scale, nullable }) => [
      name,
      position,
      type,
      precision,
      scale,
      nullable,
    ]),
  );
}
