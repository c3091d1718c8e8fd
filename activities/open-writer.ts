import { DualWriter } from '../src/clickhouse/dual-writer.js';
import { findPlaces, shadowGone } from '../src/clickhouse/shadow.js';
import { loaderNamed, targetOf, type ReplicatedTable, type TargetTable } from '../src/domain/replicated-table.js';
import { resyncName, runningResync, shadowLoader } from '../src/domain/resync.js';
import { MAIN_LOADER, type StageId, loaderOf } from '../src/domain/route.js';
import type { BatchWriter } from '../src/pipeline/batch.js';
import type { Deps } from './deps.js';

/**
 * Opens what a stage of the live flow writes to: the target of its loader, and while a resync fills a shadow beside it, that too.
 * @param open makes a writer of one table
 * @throws Failure `SinkSetBack` where the shadow is gone
 */
export async function openWriter<Content extends object>(
  deps: Deps,
  table: ReplicatedTable,
  stage: StageId,
  open: (target: TargetTable, isShadow: boolean) => BatchWriter<Content>,
): Promise<BatchWriter<Content>> {
  const { id: own } = await deps.deployment();
  const loader = loaderNamed(table, loaderOf(stage) ?? MAIN_LOADER);
  const target = targetOf(table, loader, own);
  const resync = runningResync(loader);
  if (resync === undefined) return open(target, false);
  const { clickhouse } = deps.sink(target);
  const places = await findPlaces(clickhouse, loader.target, resync);
  if (places.live === resync.uuid) {
    // It is in its place, which the ledger does not know yet: what was confirmed and proven before is of the old table.
    const swapped = open(
      { ...target, loader: resyncName(resync), target: { ...target.target, uuid: resync.uuid } },
      false,
    );
    return {
      retry: swapped.retry,
      verify: (checkpoint) => swapped.verify({ ...checkpoint, highest: '0' }, undefined),
      write: (name, content, options) => swapped.write(name, content, options),
      rest: (written, tookMs, signal) => swapped.rest(written, tookMs, signal),
    };
  }
  if (places.shadow === undefined) throw shadowGone(loader.target, resync);
  const shadow = targetOf(table, shadowLoader(loader, resync, places.shadow), own);
  return new DualWriter({
    live: open(target, false),
    shadow: open(shadow, true),
    async hasMoved() {
      const now = await findPlaces(clickhouse, loader.target, resync);
      return now.live !== places.live || now.shadow !== places.shadow;
    },
  });
}
