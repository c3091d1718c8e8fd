import type { BatchName } from '../src/domain/batch.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import type { StageId } from '../src/domain/route.js';
import { countOpen } from '../src/ledger/quarantine.js';
import { claimStage, type StageRow } from '../src/ledger/stages.js';
import { countBatch } from '../src/observe/count-batch.js';
import type { BatchSource, BatchWriter } from '../src/pipeline/batch.js';
import { runStage } from '../src/pipeline/run-stage.js';
import { runSlice, type SliceOptions, type UNBOUNDED } from '../src/pipeline/slice.js';
import type { StageContext } from '../src/pipeline/stage.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';

/** The two ends of a stage. */
export interface StageEnds<Name extends BatchName, Content> {
  readonly source: BatchSource<Name, Content>;
  readonly writer: BatchWriter<Content>;
}

export interface StageSliceOptions extends SliceOptions {
  /** Default: as the request says. */
  readonly length?: typeof UNBOUNDED;
}

/**
 * One slice of a stage, as every stage activity runs it: find the table, claim the stage, open its ends, run the loop.
 * @param stage used where the request names none
 */
export async function runStageSlice<Row extends StageRow, Name extends BatchName, Content>(
  deps: Deps,
  request: SliceRequest,
  stage: StageId,
  open: (context: StageContext<Row>) => Promise<StageEnds<Name, Content>> | StageEnds<Name, Content>,
  options: StageSliceOptions = {},
): Promise<SliceReceipt> {
  const id = request.stage ?? stage;
  return runSlice(
    options.length ?? request,
    async (slice) => {
      const own = await deps.deployment();
      const { id: tableId } = await findPreparedTable(deps.ledger, request, own);
      const row = await claimStage<Row>(deps.ledger, { tableId, stage: id, owner: deps.owner });
      const claim = { tableId, stage: id, epoch: row.epoch };
      // After the claim: a change of the route from here on fences it, and one before it is seen. A row and a route that do not belong
      // together would name batches that nobody can read.
      const table = await findPreparedTable(deps.ledger, request, own);
      const { source, writer } = await open({ table, stage: id, slice, request, row, claim });
      await using opened = source;
      const totals = await runStage(slice, opened, writer, {
        stage: id,
        proof: row.proof,
        verifyEveryMs: request.sliceMs,
        onBatch: (batch) => countBatch(deps.meters, request, { stage: id, ...batch }),
      });
      return { stage: id, ...totals, ...opened.state(), quarantined: await countOpen(deps.ledger, tableId) };
    },
    options,
  );
}
