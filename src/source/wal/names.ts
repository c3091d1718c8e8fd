import type { Deployment } from '../../domain/deployment.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';

/** A table whose owner is known: every one that is prepared by a release that has `--capture wal`. */
export type OwnedTable = Pick<ReplicatedTable, 'id' | 'name'> & Partial<Pick<ReplicatedTable, 'owner'>>;

/**
 * The replication slot of a pipeline in its database, and its publication, which has the same name. Slots are the cluster's: two
 * databases may have a pipeline of one name.
 */
export function slotNameOf({ id }: Pick<Deployment, 'id'>): string {
  return `pg2click_${id}`;
}

/** @throws Error for a table without an owner, which no table with this capture is */
export function slotOf({ owner }: OwnedTable): string {
  if (owner === undefined) throw new Error('a table without an owner has no slot');
  return slotNameOf(owner);
}
