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
import { loopOf, runStageSlice } from './run-stage-slice.js';
import { followRestarts, goBackIfRestarted } from './go-back.js';
import type { StageOptions } from '../src/pipeline/run-stage.js';
import type { Slice } from '../src/pipeline/slice.js';
import { topicContent } from './topic-content.js';

/**
 * Load: the table's topic -> ClickHouse. A crash between any two steps leaves a named batch; its offsets are read again, which
 * gives the same bytes under the same token. Of keys the rows are read again, without a token: they carry their versions.
 */
export async function loadSlice(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  const open = async (claimed: StageContext<TopicRow>) => {
    const { table, stage } = claimed;
    const { topic } = requireKafka(table.route);
    const { id: own } = await deps.deployment();
    const target = targetTable(table, loaderOf(stage), own);
    const { row, isFollowed } = await goBackIfRestarted(deps, claimed, target, topic);
    const context = { ...claimed, row };
    const mirrored = firstLoader(table).name === loaderOf(stage);
    const source = new TopicSource(deps, context, {
      topic,
      origin: own,
      mirrored,
      goesBack: isFollowed,
      foreign: foreignTopic(deps, table, topic, row.position),
    });
    const writer = quarantining(
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
    );
    const loop = loopOf({
      source: mapContent(source, (fetched, name) =>
        topicContent(deps, context, fetched, loadToken(target, stage, name)),
      ),
      writer: isFollowed ? followRestarts(deps, target, row, writer) : writer,
    });
    return {
      // That of the row, which may have gone back.
      run: (slice: Slice, options: StageOptions) => loop.run(slice, { ...options, proof: row.proof }),
      state: () => loop.state(),
    };
  };
  return runStageSlice(deps, request, loadStage(MAIN_LOADER), open);
}
