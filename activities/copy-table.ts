import type { CopyReceipt, SliceRequest } from '../src/domain/receipt.js';
import { formatTableName } from '../src/domain/table-name.js';
import { composeVersion } from '../src/domain/version.js';
import { claimStage, finishCopy, type CopyStage } from '../src/ledger/stages.js';
import { countBatch } from '../src/observe/count-batch.js';
import { insertCopy } from '../src/clickhouse/insert-copy.js';
import { deleteBelowFloor, writeFloor } from '../src/clickhouse/floor.js';
import { copyRows } from '../src/source/copy/copy-rows.js';
import { allocatePosition, settle } from '../src/source/settle.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';

/**
 * The first load, beside the live flow: draw a position, wait for the writers of that moment, stream the table. Every
 * copied row carries the drawn position as its version, so each later change wins over it. An attempt that broke off
 * leaves rows of an older position behind, which the next attempt's rows win over: it starts from the beginning.
 */
export async function copyTable(deps: Deps, request: SliceRequest): Promise<CopyReceipt> {
  const startedAt = Date.now();
  return runSlice(UNBOUNDED, async (slice) => {
    const table = await findPreparedTable(deps.pool, request);
    const stage = await claimStage<CopyStage>(deps.pool, { tableId: table.id, stage: 'copy', owner: deps.owner });
    if (stage.position.done !== undefined)
      return { rows: Number(stage.position.rows ?? 0), bytes: 0, seconds: 0, position: stage.position.done };
    // A copy is not worth finishing once it is cancelled: the next attempt starts it again.
    const signal = AbortSignal.any([slice.signal, slice.ending]);
    const tell = (moved: string, rows = 0): void =>
      slice.progress({ stage: 'copy', rows, batches: 0, moved, waiting: 0, lagSeconds: 0 });
    await using pg = await deps.connectSource(`copy ${formatTableName(request)}`, {
      copies: true,
      signal,
      onWait: (ahead) => tell(`waiting for its turn, ${ahead} ahead of it`),
    });
    const position = await allocatePosition(pg, table.id);
    await settle(pg, table.relation, {
      signal,
      onWait: (writers) => tell(`waiting for ${writers} writers`),
    });
    const copied = await insertCopy(deps.clickhouse, table, copyRows(pg, table, position, { signal }), {
      signal,
      onProgress: (rows) => tell(`${rows} rows`, rows),
    });
    // What an older life of the table left in the target: rows that were deleted meanwhile have no tombstone.
    if (table.generation > 1) await writeFloor(deps.clickhouse, table, composeVersion(table.generation, 0n));
    await deleteBelowFloor(deps.clickhouse, table);
    const { newest } = await deps.parts.inspect(table.target, table.generation);
    await finishCopy(deps.pool, { tableId: table.id, epoch: stage.epoch }, { position, ...copied, part: newest });
    countBatch(deps.meters, request, { stage: 'copy', ...copied });
    return { ...copied, position, seconds: (Date.now() - startedAt) / 1_000 };
  });
}
