import type { Queryable } from '../../connect/queryable.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import type { Fingerprint } from '../catalog/fingerprint.js';
import { changedMeanwhile, verifyInspected } from '../catalog/verify-inspected.js';
import { triggerName, type CaptureFunction } from './names.js';
import { findUnguarded } from './partitions.js';
import { firesIn, functionsOf, type CaptureForm } from './capture-form.js';

type InstalledTable = Pick<
  ReplicatedTable,
  'id' | 'name' | 'source' | 'relation' | 'columns' | 'excluded' | 'where' | 'key'
> &
  Partial<Pick<ReplicatedTable, 'route'>> &
  CaptureForm;

/**
 * Inspects the table again under a lock that holds off ALTER: between the first look and the lock others may have changed it,
 * or given its name to another table.
 * @returns the fingerprint of what was inspected, with all triggers enabled
 * @throws Failure `Fenced` where it is not the table that was inspected: the next attempt may succeed
 */
export async function verifyInstalled(pg: Queryable, table: InstalledTable): Promise<string> {
  const now = await verifyInspected(pg, table);
  if (now.isTree !== table.isTree || (now.triggerLevel === 'row' && table.triggerLevel === 'statement'))
    throw changedMeanwhile(table.name);
  const { triggers } = JSON.parse(now.fingerprint) as Fingerprint;
  const isThere = (event: CaptureFunction): boolean =>
    triggers[triggerName(table.id, event)]?.enabled === firesIn(table, event);
  if (!functionsOf(table).every(isThere)) throw changedMeanwhile(table.name);
  if (table.isTree && (await findUnguarded(pg, table)).length > 0) throw changedMeanwhile(table.name);
  return now.fingerprint;
}
