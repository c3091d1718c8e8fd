import { isBackfill, type BackfillPosition } from '../src/domain/backfill.js';
import { loaderNamed, targetOf, type ReplicatedTable, type TargetTable } from '../src/domain/replicated-table.js';
import { replayStage, type ReplayPosition } from '../src/domain/replay.js';
import { resyncName, shadowLoader } from '../src/domain/resync.js';
import { loaderOf, MAIN_LOADER, type StageId } from '../src/domain/route.js';
import { findPlaces } from '../src/clickhouse/shadow.js';
import { readStages } from '../src/ledger/stages.js';
import type { Deps } from './deps.js';

/** Where a backfill, a resync, the copy of a loader, or that of a replay into a table of its own, writes to. */
export async function findStageTarget(deps: Deps, table: ReplicatedTable, stage: StageId): Promise<TargetTable> {
  const { id } = await deps.deployment();
  if (isBackfill(stage)) {
    const row = (await readStages(deps.ledger, table.id)).find((each) => each.stage === stage);
    return targetOf(
      table,
      loaderNamed(table, (row?.position as BackfillPosition | undefined)?.loader ?? MAIN_LOADER),
      id,
    );
  }
  const name = loaderOf(stage) ?? MAIN_LOADER;
  if (table.route.loaders.some((loader) => loader.name === name)) return targetOf(table, loaderNamed(table, name), id);
  const filled = table.route.loaders.find(({ resync }) => resync !== undefined && resyncName(resync) === name);
  if (filled?.resync !== undefined) {
    const { clickhouse } = deps.sink(filled);
    const { shadow } = await findPlaces(clickhouse, filled.target, filled.resync);
    return targetOf(table, shadowLoader(filled, filled.resync, shadow), id);
  }
  const rows = await readStages(deps.ledger, table.id);
  const replay = rows.find((row) => row.stage === replayStage(name))?.position as ReplayPosition | undefined;
  return targetOf(table, replay?.loader ?? loaderNamed(table, name), id);
}
