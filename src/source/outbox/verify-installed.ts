import type { Queryable } from '../../connect/queryable.js';
import type { Column, ReplicatedTable, TriggerLevel } from '../../domain/replicated-table.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { policyOf } from '../../failure/kinds.js';
import { fingerprintTable, type Fingerprint } from '../catalog/fingerprint.js';
import { inspectTable, type TableInspection } from '../catalog/inspect.js';
import { OUTBOX_EVENTS, triggerName } from './names.js';

type InstalledTable = Pick<ReplicatedTable, 'id' | 'name' | 'relation' | 'columns' | 'key'> & {
  readonly triggerLevel: TriggerLevel;
};

/**
 * Inspects the table again under a lock that holds off ALTER: between the first look and the lock others may have changed it,
 * or given its name to another table.
 * @returns the fingerprint of what was inspected, with all triggers enabled
 * @throws Failure `Fenced` where it is not the table that was inspected: the next attempt may succeed
 */
export async function verifyInstalled(pg: Queryable, table: InstalledTable): Promise<string> {
  const now = await inspectAgain(pg, table);
  const differs =
    now.relation !== table.relation ||
    columnsAsText(now.columns) !== columnsAsText(table.columns) ||
    (now.triggerLevel === 'row' && table.triggerLevel === 'statement');
  if (differs) throw changedMeanwhile(table.name);
  const fingerprint = await fingerprintTable(pg, table);
  const { triggers } = JSON.parse(fingerprint) as Fingerprint;
  if (!OUTBOX_EVENTS.every((event) => triggers[triggerName(table.id, event)]?.enabled === 'A'))
    throw changedMeanwhile(table.name);
  return fingerprint;
}

export function changedMeanwhile(name: TableName, cause?: unknown): Failure {
  return new Failure('Fenced', {
    message: `${formatTableName(name)} was changed while its triggers were made.`,
    remedy: 'It is tried again by itself, with the table as it is then.',
    cause,
  });
}

/** What is refused now was not at the first look; the next attempt says why. */
async function inspectAgain(pg: Queryable, { name, key }: InstalledTable): Promise<TableInspection> {
  try {
    return await inspectTable(pg, name, { key });
  } catch (error) {
    const isRefused = error instanceof Failure && policyOf(error.kind).treatment === 'parked';
    throw isRefused ? changedMeanwhile(name, error) : error;
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
