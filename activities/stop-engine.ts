import type { StopRequest } from '../src/domain/receipt.js';
import { loaderNamed, targetTable } from '../src/domain/replicated-table.js';
import { loaderOf } from '../src/domain/route.js';
import { claimStage } from '../src/ledger/stages.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';

/** Ends what loads without a slice. It claims the stage first: a slice that was frozen meanwhile is fenced, and starts nothing. */
export async function stopEngine(deps: Deps, request: StopRequest): Promise<void> {
  await runSlice(UNBOUNDED, async () => {
    const own = await deps.deployment();
    const table = await findPreparedTable(deps.ledger, request, own);
    await claimStage(deps.ledger, { tableId: table.id, stage: request.stage, owner: deps.owner });
    const name = loaderOf(request.stage);
    const { kind } = loaderNamed(table, name);
    await deps.loaders.named(kind).stop?.(deps, targetTable(table, name, own.id));
  });
}
