import { loadToken } from '../src/domain/batch.js';
import type { ReplaySliceReceipt, SliceRequest } from '../src/domain/receipt.js';
import { targetOf, type ReplicatedTable } from '../src/domain/replicated-table.js';
import { replayName, type ReplayPosition, type TopicOffsets } from '../src/domain/replay.js';
import { copyStage, requireKafka, type StageId } from '../src/domain/route.js';
import { Failure } from '../src/failure/failure.js';
import { ClickHouseWriter } from '../src/clickhouse/clickhouse-writer.js';
import { readStages } from '../src/ledger/stages.js';
import { mapContent } from '../src/pipeline/batch.js';
import { SINK_RETRY } from '../src/pipeline/retry.js';
import type { StageContext } from '../src/pipeline/stage.js';
import type { CopyPosition } from '../src/source/copy/copy-plan.js';
import { topicState, withAdmin } from '../src/topic/admin.js';
import { TopicSource, type TopicRow } from '../src/topic/topic-source.js';
import type { CaptureBacklog } from '../src/source/capture.js';
import { captureState } from './capture-state.js';
import type { Deps } from './deps.js';
import { foreignTopic } from './foreign-topic.js';
import { quarantining } from './quarantining.js';
import { runStageSlice } from './run-stage-slice.js';
import { topicContent } from './topic-content.js';

/**
 * Replay: a range of the table's topic -> ClickHouse, once, beside the live flow. Older rows lose against those that are there, by
 * their versions, and what a TRUNCATE hid stays hidden.
 */
export async function replaySlice(deps: Deps, request: SliceRequest): Promise<ReplaySliceReceipt> {
  let source: TopicSource | undefined;
  const open = async (context: StageContext<TopicRow>) => {
    const { table, stage, row } = context;
    const { topic } = requireKafka(table.route);
    const { id: own } = await deps.deployment();
    const position = row.position as unknown as ReplayPosition;
    // Under its own name: what the first load of a live target has lost is no reason not to replay, but the reason for it.
    const target = { ...targetOf(table, position.loader, own), loader: replayName(stage) };
    source = new TopicSource(deps, context, {
      topic,
      origin: own,
      mirrored: false,
      foreign: foreignTopic(deps, table, topic),
      end: endOf(deps, table, stage, position),
    });
    const opened = source;
    return {
      source: mapContent(opened, (fetched, name) =>
        topicContent(deps, context, fetched, loadToken(target, `${stage}/${position.requestId}`, name)),
      ),
      writer: quarantining(
        deps,
        context,
        target,
        new ClickHouseWriter({ ...deps, ...deps.sink(target) }, target, {
          retry: SINK_RETRY,
          throttle: deps.throttles.load,
        }),
      ),
    };
  };
  const receipt = await runStageSlice(deps, request, 'replay:1', open);
  // A replay is behind by intention: that is no lag of the table.
  return { ...receipt, lagSeconds: 0, finished: source?.isFinished === true };
}

/**
 * Where the replay ends. Beside a copy it must reach everything that the copy has seen: a row that was deleted before the copy
 * read the table has its tombstone in the topic, perhaps behind the offsets of the request. So it ends where the topic ends once
 * all that was captured when the copy was done is in the topic.
 */
function endOf(
  deps: Deps,
  table: ReplicatedTable,
  stage: StageId,
  { end }: ReplayPosition,
): () => Promise<TopicOffsets | undefined> {
  let captured: bigint | undefined;
  return async () => {
    if (end !== null) return end;
    if (captured === undefined) {
      const copy = (await readStages(deps.ledger, table.id)).find((row) => row.stage === copyStage(replayName(stage)));
      if ((copy?.position as CopyPosition | undefined)?.done === undefined) return undefined;
      captured = (await requireState(deps, table)).newest;
    }
    if ((await requireState(deps, table)).done < captured) return undefined;
    const { topic } = requireKafka(table.route);
    const state = await withAdmin(deps.kafka, (admin) => topicState(admin, topic));
    if (state === undefined)
      throw new Failure('TopicReplaced', { message: `The topic ${topic} does not exist any more.` });
    return Object.fromEntries(Object.entries(state.offsets).map(([of, { high }]) => [of, high]));
  };
}

async function requireState(deps: Deps, table: ReplicatedTable): Promise<CaptureBacklog> {
  const state = await captureState(deps, table);
  if (state !== undefined) return state;
  throw new Failure('Misconfigured', {
    message: `Nobody can say what waits in the capture ${table.route.capture.kind}: a replay cannot tell where its copy is complete.`,
    remedy: 'Replay with --topic-only.',
  });
}
