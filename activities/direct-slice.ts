import { targetTable } from '../src/domain/replicated-table.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import { directStage, loaderOf, MAIN_LOADER } from '../src/domain/route.js';
import { ClickHouseWriter, type InsertContent } from '../src/clickhouse/clickhouse-writer.js';
import { mapContent } from '../src/pipeline/batch.js';
import { SINK_RETRY } from '../src/pipeline/retry.js';
import { Failure } from '../src/failure/failure.js';
import type { Deps } from './deps.js';
import { runStageSlice } from './run-stage-slice.js';

/** Direct: the table's capture -> ClickHouse, with no topic in between. A crash leaves a named batch, which is read and inserted again. */
export async function directSlice(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  return runStageSlice(deps, request, directStage(MAIN_LOADER), async (context) => {
    const { table, stage } = context;
    const capture = deps.captures.named(table.route.capture.kind);
    if (capture.openStream === undefined)
      throw new Failure('Misconfigured', { message: `The capture ${capture.kind} needs a topic.` });
    const target = targetTable(table, loaderOf(stage), (await deps.deployment()).id);
    return {
      source: mapContent(capture.openStream(deps, context, { versions: true }), (content): InsertContent => ({
        kind: 'stream',
        ...content,
      })),
      writer: new ClickHouseWriter({ ...deps, ...deps.sink(target) }, target, {
        retry: SINK_RETRY,
        throttle: deps.throttles.load,
      }),
    };
  });
}
