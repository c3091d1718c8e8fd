import type { Queryable } from '../../connect/queryable.js';
import type { ReplicatedTable, TriggerLevel } from '../../domain/replicated-table.js';
import type { Fingerprint } from '../catalog/fingerprint.js';
import { changedMeanwhile, verifyInspected } from '../catalog/verify-inspected.js';
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
  const now = await verifyInspected(pg, table);
  if (now.triggerLevel === 'row' && table.triggerLevel === 'statement') throw changedMeanwhile(table.name);
  const { triggers } = JSON.parse(now.fingerprint) as Fingerprint;
  if (!OUTBOX_EVENTS.every((event) => triggers[triggerName(table.id, event)]?.enabled === 'A'))
    throw changedMeanwhile(table.name);
  return now.fingerprint;
}
