import { loadToken } from '../src/domain/batch.js';
import { firstLoader, targetTable } from '../src/domain/replicated-table.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import { loaderOf, loadStage, MAIN_LOADER, requireKafka } from '../src/domain/route.js';
import { ClickHouseWriter, type InsertContent } from '../src/clickhouse/clickhouse-writer.js';
import { mapContent } from '../src/pipeline/batch.js';
import { SINK_RETRY } from '../src/pipeline/retry.js';
import type { StageContext } from '../src/pipeline/stage.js';
import { TopicSource, type TopicRow } from '../src/topic/topic-source.js';
import type { Deps } from './deps.js';
import { foreignTopic } from './foreign-topic.js';
import { openWriter } from './open-writer.js';
import { quarantining } from './quarantining.js';
import { runStageSlice } from './run-stage-slice.js';
import { topicContent } from './topic-content.js';

/**
 * Load: the table's topic -> ClickHouse. A crash between any two steps leaves a named batch; its offsets are read again, which
 * gives the same bytes under the same token. Of keys the rows are read again, without a token: they carry their versions.
 */
export async function loadSlice(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  const open = async (context: StageContext<TopicRow>) => {
    const { table, stage } = context;
    const { topic } = requireKafka(table.route);
    const { id: own } = await deps.deployment();
    const target = targetTable(table, loaderOf(stage), own);
    const mirrored = firstLoader(table).name === loaderOf(stage);
    const source = new TopicSource(deps, context, {
      topic,
      origin: own,
      mirrored,
      foreign: foreignTopic(deps, table, topic, context.row.position),
    });
    return {
      source: mapContent(source, (fetched, name) =>
        topicContent(deps, context, fetched, loadToken(target, stage, name)),
      ),
      writer: quarantining(
        deps,
        context,
        target,
        await openWriter<InsertContent>(
          deps,
          table,
          stage,
          (each, isShadow) =>
            new ClickHouseWriter({ ...deps, ...deps.sink(each) }, each, {
              retry: SINK_RETRY,
              ...(isShadow ? {} : { throttle: deps.throttles.load }),
            }),
        ),
      ),
    };
  };
  return runStageSlice(deps, request, loadStage(MAIN_LOADER), open);
}
