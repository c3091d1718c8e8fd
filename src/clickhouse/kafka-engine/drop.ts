import type { ClickHouseClient } from '@clickhouse/client';
import type { RemoveReceipt } from '../../domain/receipt.js';
import { findObjects } from '../catalog.js';
import type { RemoveLoaderOptions } from '../loader.js';
import { waitUntilQuiet } from './consumers.js';
import { ENGINE_ROLES, engineNames } from './names.js';
import { dropObject, engineMark, type EngineOwner } from './objects.js';

/**
 * Drops the engine's objects, the consumer first, so that what a crash leaves reads nothing. The table of errors holds messages that
 * a person may still need: it goes with the target only. Objects without our mark stay.
 */
export async function dropEngine(
  ch: ClickHouseClient,
  owner: EngineOwner,
  { before, dropTarget }: RemoveLoaderOptions,
): Promise<RemoveReceipt> {
  const names = engineNames(owner.target);
  const objects = await findObjects(ch, names.database, Object.values(names.bare));
  const dropped: string[] = [];
  const kept: RemoveReceipt['kept'][number][] = [];
  for (const role of ENGINE_ROLES.toReversed()) {
    const object = objects.get(names.bare[role]);
    if (object === undefined) continue;
    const name = names.shown[role];
    if (!object.comment.startsWith(engineMark(owner, role))) {
      kept.push({ name, why: 'it was not made by pg2click for this table' });
      continue;
    }
    if (role === 'errors' && !dropTarget) {
      kept.push({ name, why: 'it holds messages that were refused, and its removal was not asked for' });
      continue;
    }
    await before();
    await dropObject(ch, names, role);
    if (role === 'consumer') await waitUntilQuiet(ch, owner.target);
    dropped.push(name);
  }
  return { dropped, kept };
}
