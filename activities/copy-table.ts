import type { CopyReceipt, SliceRequest } from '../src/domain/receipt.js';
import { formatTableName } from '../src/domain/table-name.js';
import { composeVersion } from '../src/domain/version.js';
import { claimStage, finishCopy, type CopyStage } from '../src/ledger/stage.js';
import { countBatch } from '../src/observe/count-batch.js';
import { insertCopy } from '../src/sink/copy.js';
import { deleteBelowFloor, writeFloor } from '../src/sink/floor.js';
import { copyRows } from '../src/source/copy.js';
import { drawPosition, settle } from '../src/source/settle.js';
import type { Deps } from './deps.js';
import { findPreparedReplica } from './find-replica.js';
import { UNBOUNDED, runSlice } from './slice.js';

/**
 * The first load, beside the live flow: draw a position, wait for the writers of that moment, stream the table. Every
 * copied row carries the drawn position as its version, so each later change wins over it. An attempt that broke off
 * leaves rows of an older position behind, which the next attempt's rows win over: it starts from the beginning.
 */
export async function copyTable(deps: Deps, request: SliceRequest): Promise<CopyReceipt> {
  const startedAt = Date.now();
  return runSlice(UNBOUNDED, async (slice) => {
    const replica = await findPreparedReplica(deps.pool, request);
    const stage = await claimStage<CopyStage>(deps.pool, { replicaId: replica.id, stage: 'copy', owner: deps.owner });
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
    const position = await drawPosition(pg, replica.id);
    await settle(pg, replica.relation, {
      signal,
      onWait: (writers) => tell(`waiting for ${writers} writers`),
    });
    const copied = await insertCopy(deps.clickhouse, replica, copyRows(pg, replica, position, { signal }), {
      signal,
      onProgress: (rows) => tell(`${rows} rows`, rows),
    });
    // What an older life of the table left in the target: rows that were deleted meanwhile have no tombstone.
    if (replica.generation > 1) await writeFloor(deps.clickhouse, replica, composeVersion(replica.generation, 0n));
    await deleteBelowFloor(deps.clickhouse, replica);
    const { newest } = await deps.parts.look(replica.target, replica.generation);
    await finishCopy(deps.pool, { replicaId: replica.id, epoch: stage.epoch }, { position, ...copied, part: newest });
    countBatch(deps.meters, request, { stage: 'copy', ...copied });
    return { ...copied, position, seconds: (Date.now() - startedAt) / 1_000 };
  });
}
