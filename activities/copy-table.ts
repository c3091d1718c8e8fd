import type { CopyReceipt, SliceRequest } from '../src/domain/receipt.js';
import { COPY_STAGE } from '../src/domain/route.js';
import { ClickHouseWriter, type InsertContent } from '../src/clickhouse/clickhouse-writer.js';
import { mapContent } from '../src/pipeline/batch.js';
import { NO_RETRY } from '../src/pipeline/retry.js';
import { UNBOUNDED } from '../src/pipeline/slice.js';
import type { StageContext } from '../src/pipeline/stage.js';
import { CopySource, type CopyRow } from '../src/source/copy/copy-source.js';
import type { Deps } from './deps.js';
import { quarantining } from './quarantining.js';
import { findStageTarget } from './find-stage-target.js';
import { runStageSlice } from './run-stage-slice.js';

/** The first load of a target: the table -> ClickHouse. An attempt that broke off leaves rows behind, which the next one writes again. */
export async function copyTable(deps: Deps, request: SliceRequest): Promise<CopyReceipt> {
  const startedAt = Date.now();
  const open = async (context: StageContext<CopyRow>) => {
    const target = await findStageTarget(deps, context.table, context.stage);
    return {
      source: mapContent(
        new CopySource(deps, context, deps.captures.named(context.table.route.capture.kind)),
        (content): InsertContent => ({ kind: 'copy', ...content }),
      ),
      writer: quarantining(
        deps,
        context,
        target,
        new ClickHouseWriter({ ...deps, ...deps.sink(target) }, target, { retry: NO_RETRY }),
      ),
    };
  };
  const { rows, bytes, checkpoint } = await runStageSlice(deps, request, COPY_STAGE, open, { length: UNBOUNDED });
  return { rows, bytes, position: checkpoint.highest, seconds: (Date.now() - startedAt) / 1_000 };
}
