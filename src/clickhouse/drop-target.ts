import type { ClickHouseClient } from '@clickhouse/client';
import type { RemoveReceipt } from '../domain/receipt.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { execute, findObject } from './catalog.js';
import { isOwnMark, MARK_PREFIX, targetNames } from './names.js';
import { onCluster } from './storage-sql.js';
import { targetEngine } from './target-engines.js';

/**
 * Drops what belongs to a target, the table last: what a crash leaves is still marked as ours. Idempotent. Objects without a mark, or with
 * that of another owner, stay: a target that was refused as taken must not be dropped by removing the table.
 *
 * @param options `before` runs before each drop, and throws where the target belongs to somebody else by now; `repeated`: an earlier
 *   attempt may have dropped some, so what is not there counts as dropped
 */
export async function dropTarget(
  ch: ClickHouseClient,
  owner: Pick<TargetTable, 'deployment' | 'oldMarks' | 'pipeline' | 'name' | 'target' | 'engine' | 'layout'>,
  { before, repeated = false }: { readonly before?: () => Promise<void>; readonly repeated?: boolean } = {},
): Promise<RemoveReceipt> {
  const { database } = owner.target;
  const names = targetNames(owner.target);
  const dropped: string[] = [];
  const kept: RemoveReceipt['kept'][number][] = [];
  for (const role of targetEngine(owner).roles.toReversed()) {
    const name = `${database}.${names[role]}`;
    const object = await findObject(ch, database, names[role]);
    if (object === undefined) {
      if (repeated) dropped.push(name);
      continue;
    }
    if (!isOwnMark(object.comment, owner, role)) {
      kept.push({ name, why: ownedBy(object.comment) });
      continue;
    }
    await before?.();
    const kind = role === 'view' ? 'view' : 'table';
    // Servers refuse to drop more than 50 GB unless told so.
    const statement = /* sql */ `drop ${kind} if exists ${names.sql[role]}${onCluster(owner)} settings max_table_size_to_drop = 0`;
    await execute(ch, statement, `dropping ${name}`);
    dropped.push(name);
  }
  return { dropped, kept };
}

function ownedBy(comment: string): string {
  return comment.startsWith(MARK_PREFIX)
    ? `it is ${comment.slice(MARK_PREFIX.length)} of pg2click`
    : 'it was not made by pg2click';
}
