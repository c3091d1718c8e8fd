import { targetTable } from '../src/domain/replicated-table.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import { directStage, loaderOf, MAIN_LOADER } from '../src/domain/route.js';
import { targetEngine } from '../src/clickhouse/target-engines.js';
import { SINK_RETRY } from '../src/pipeline/retry.js';
import { Failure } from '../src/failure/failure.js';
import type { RowStream } from '../src/pipeline/row-batch.js';
import type { Deps } from './deps.js';
import { openWriter } from './open-writer.js';
import { quarantining } from './quarantining.js';
import { runStageSlice } from './run-stage-slice.js';

/** Direct: the table's capture -> ClickHouse, with no topic in between. A crash leaves a named batch, which is read and inserted again. */
export async function directSlice(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  return runStageSlice(deps, request, directStage(MAIN_LOADER), async (context) => {
    const { table, stage } = context;
    const capture = deps.captures.named(table.route.capture.kind);
    if (capture.openStream === undefined)
      throw new Failure('Misconfigured', { message: `The capture ${capture.kind} needs a topic.` });
    const target = targetTable(table, loaderOf(stage), (await deps.deployment()).id);
    const engine = targetEngine(target);
    const options = { claim: context.claim, retry: SINK_RETRY };
    const { load: throttle } = deps.throttles;
    return {
      source: capture.openStream(deps, context, { versions: engine.versions }),
      writer: quarantining(
        deps,
        context,
        target,
        await openWriter<RowStream>(deps, table, stage, (each, isShadow) =>
          engine.streamWriter({ ...deps, ...deps.sink(each) }, each, isShadow ? options : { ...options, throttle }),
        ),
      ),
    };
  });
}
