import { Engine } from '../src/clickhouse/kafka-engine/engine.js';
import { EngineWriter } from '../src/clickhouse/kafka-engine/engine-writer.js';
import { engineSpec } from '../src/clickhouse/kafka-engine/spec.js';
import type { SliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import { targetTable, type ReplicatedTable } from '../src/domain/replicated-table.js';
import { inputOf, loaderOf, loadStage, MAIN_LOADER, requireKafka, stagesOf } from '../src/domain/route.js';
import { readStages } from '../src/ledger/stages.js';
import type { StageContext } from '../src/pipeline/stage.js';
import { GroupSource, type GroupRow } from '../src/topic/group-source.js';
import type { Deps } from './deps.js';
import { runStageSlice } from './run-stage-slice.js';

/** The table's topic -> ClickHouse, by ClickHouse's own Kafka engine: this starts it, and keeps account of what it has read. */
export async function watchEngine(deps: Deps, request: SliceRequest): Promise<SliceReceipt> {
  return runStageSlice(deps, request, loadStage(MAIN_LOADER), async (context: StageContext<GroupRow>) => {
    const { table, stage } = context;
    const transport = requireKafka(table.route);
    const loader = loaderOf(stage) ?? MAIN_LOADER;
    const target = targetTable(table, loader, (await deps.deployment()).id);
    return {
      source: new GroupSource(deps, context, {
        group: new Engine(deps, await engineSpec(deps, target, { loader, transport })),
        topic: transport.topic,
        partitions: transport.partitions,
        reader: deps.reader(transport.topic, { subscriber: `${table.id}/${stage}` }),
        published: () => readPublished(deps, table),
      }),
      writer: new EngineWriter(deps, target),
    };
  });
}

/** Everything of the capture up to here is in the topic; 0 where the capture cannot say. */
async function readPublished(deps: Deps, table: ReplicatedTable): Promise<bigint> {
  const drain = stagesOf(table.route).find(({ id }) => inputOf(id) === 'capture');
  const row = (await readStages(deps.ledger, table.id)).find(({ stage }) => stage === drain?.id);
  if (row === undefined) return 0n;
  const capture = deps.captures.named(table.route.capture.kind);
  const backlog = await capture.backlog?.(deps.source, [
    { table, id: table.id, lowWater: row.lowWater, position: row.position },
  ]);
  return backlog?.get(table.id)?.published ?? 0n;
}
