import { Engine } from '../src/clickhouse/kafka-engine/engine.js';
import { EngineWriter } from '../src/clickhouse/kafka-engine/engine-writer.js';
import { engineSpec } from '../src/clickhouse/kafka-engine/spec.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import { targetTable } from '../src/domain/replicated-table.js';
import { loaderOf, loadStage, MAIN_LOADER, requireKafka } from '../src/domain/route.js';
import { verifyUnchanged } from '../src/source/catalog/verify-unchanged.js';
import type { StageContext } from '../src/pipeline/stage.js';
import { GroupSource, type GroupRow } from '../src/topic/group-source.js';
import { captureState } from './capture-state.js';
import type { Deps } from './deps.js';
import { runStageSlice } from './run-stage-slice.js';

/** The table's topic -> ClickHouse, by ClickHouse's own Kafka engine: this starts it, and keeps account of what it has read. */
export async function watchEngine(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  return runStageSlice(deps, request, loadStage(MAIN_LOADER), async (context: StageContext<GroupRow>) => {
    const { table, stage } = context;
    const transport = requireKafka(table.route);
    // No stage of ours reads PostgreSQL for it: what no message says is noticed here.
    if (table.route.capture.foreignTopic === true) await verifyUnchanged(deps, table);
    const loader = loaderOf(stage) ?? MAIN_LOADER;
    const target = targetTable(table, loader, (await deps.deployment()).id);
    return {
      source: new GroupSource(deps, context, {
        group: new Engine(deps, await engineSpec(deps, target, { loader, transport })),
        topic: transport.topic,
        partitions: transport.partitions,
        reader: deps.reader(transport.topic, { subscriber: `${table.id}/${stage}` }),
        // 0 where the capture cannot say.
        published: async () => (await captureState(deps, table))?.published ?? 0n,
      }),
      writer: new EngineWriter(deps, target),
    };
  });
}
