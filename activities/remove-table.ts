import type { RemoveRequest } from '../src/domain/receipt.js';
import { formatTableName } from '../src/domain/table-name.js';
import { deleteReplica, findReplica, findReplicaId } from '../src/ledger/replica.js';
import { dropTarget } from '../src/sink/target.js';
import { removeOutbox } from '../src/source/outbox.js';
import type { Deps } from './deps.js';
import { UNBOUNDED, runSlice } from './slice.js';

/**
 * Takes a table out: its triggers and outbox first, so that its writers no longer pay for it, then (if asked) the target,
 * the ledger row last. The topic stays: other consumers may read it, and its retention empties it. Idempotent.
 */
export async function removeTable(deps: Deps, request: RemoveRequest): Promise<void> {
  await runSlice(UNBOUNDED, async (slice) => {
    await using pg = await deps.connectSource(`remove ${formatTableName(request)}`, {
      signal: slice.ending,
    });
    const replica = await findReplica(pg, request.pipeline, request);
    const id = replica?.id ?? (await findReplicaId(pg, request.pipeline, request));
    if (id === undefined) return;
    await removeOutbox(pg, { id, name: { schema: request.schema, table: request.table } });
    if (request.dropTarget && replica !== undefined) await dropTarget(deps.clickhouse, replica.target, replica);
    await deleteReplica(pg, id);
  });
}
