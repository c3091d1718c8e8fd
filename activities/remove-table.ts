import type { RemoveRequest } from '../src/domain/receipt.js';
import { formatTableName } from '../src/domain/table-name.js';
import { deleteTable, findTable, findTableId } from '../src/ledger/tables.js';
import { dropTarget } from '../src/clickhouse/target.js';
import type { Deps } from './deps.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';

/**
 * Takes a table out: its triggers and outbox first, so that its writers no longer pay for it, then (if asked) the target,
 * the ledger row last. The topic stays: other consumers may read it, and its retention empties it. Idempotent.
 */
export async function removeTable(deps: Deps, request: RemoveRequest): Promise<void> {
  await runSlice(UNBOUNDED, async (slice) => {
    await using pg = await deps.connectSource(`remove ${formatTableName(request)}`, {
      signal: slice.ending,
    });
    const table = await findTable(pg, request.pipeline, request);
    const id = table?.id ?? (await findTableId(pg, request.pipeline, request));
    if (id === undefined) return;
    const capture = deps.captures.named(table?.route.capture.kind ?? 'outbox');
    await capture.remove(pg, { id, name: { schema: request.schema, table: request.table } });
    if (request.dropTarget && table !== undefined)
      for (const { target } of table.route.loaders) await dropTarget(deps.clickhouse, target, table);
    await deleteTable(pg, id);
  });
}
