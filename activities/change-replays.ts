import type { Admin } from 'kafkajs';
import type { CancelReplayRequest, ReplayReceipt, ReplayRequest } from '../src/domain/receipt.js';
import { firstLoader, targetOf, type ReplicatedTable } from '../src/domain/replicated-table.js';
import { isReplay, isReplayName, replayName, replaySpecs, type ReplayPosition } from '../src/domain/replay.js';
import { copyStage, engineOf, kafkaOf, nextStage, type LoaderSpec, type StageId } from '../src/domain/route.js';
import { formatTableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { writeFloor } from '../src/clickhouse/floor.js';
import { targetNames } from '../src/clickhouse/names.js';
import { sinkState } from '../src/clickhouse/state.js';
import { changeStages, claimPrepared } from '../src/ledger/change-route.js';
import { forgetLoaderRows } from '../src/ledger/quarantine-rows.js';
import { readStages } from '../src/ledger/stages.js';
import { topicState, withAdmin, type TopicState } from '../src/topic/admin.js';
import { findFloor } from '../src/topic/find-floor.js';
import { readRange } from '../src/topic/replay-range.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';
import { stepsOf, type Steps } from '../src/pipeline/steps.js';
import type { Deps } from './deps.js';
import { foreignTopic } from './foreign-topic.js';
import { makeTarget, planLoader, requireLoader } from './loader-target.js';
import { requireOwnTable } from './require-own-table.js';

/** Fixes the range of a replay and writes its stages to the ledger. Idempotent: a request is found again by its id. */
export async function startReplay(deps: Deps, request: ReplayRequest): Promise<ReplayReceipt> {
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, 'startReplay');
    const deployment = await deps.deployment();
    const { table, claim } = await claimPrepared(deps.ledger, request);
    requireOwnTable(table, deployment);
    const stages = await readStages(deps.ledger, table.id);
    const replays = stages.filter(({ stage }) => isReplay(stage));
    const known = replays.find(({ position }) => (position as ReplayPosition).requestId === request.requestId);
    if (known !== undefined) {
      const before = known.position as ReplayPosition;
      const copied = hasCopy(stages, known.stage);
      if (isOwnTarget(before) && !copied) await seedFloor(deps, steps, table, before);
      return receiptOf(known.stage, before, copied);
    }
    // Rows of replays that have ended stay until the next one: a slice that is tried again must find its own.
    const ended = request.running === undefined ? [] : replays.filter(({ stage }) => !request.running?.includes(stage));
    const { topic, payload } = requireTopic(table);
    if (payload === 'key' && request.to !== undefined)
      throw new Failure('Misconfigured', {
        message: `Messages of ${topic} hold keys only, and rows are read as they are now: --to has no meaning.`,
        remedy: 'Leave out --to.',
      });
    const stage = nextStage('replay', replays);
    const loader = await chooseLoader(deps, table, stage, request);
    const copies = request.into !== undefined && request.topicOnly !== true;
    const { capture } = table.route;
    if (copies && capture.appendOnly === true)
      throw new Failure('Misconfigured', {
        message: `A table of --capture ${capture.kind} is not copied: ${request.into} would hold what the topic holds, and nothing else.`,
        remedy: 'Give --topic-only if that is what you want. A loader that is added holds all rows.',
      });
    if (copies && capture.foreignTopic === true)
      throw new Failure('Misconfigured', {
        message: `Nobody can say when all that a copy has seen is in the topic of --capture ${capture.kind}.`,
        remedy: 'Give --topic-only, or add a loader, which copies the table.',
      });
    if (copies && request.to !== undefined)
      throw new Failure('Misconfigured', {
        message: '--to ends at a moment of the past, and the copy of the table is as it is now.',
        remedy: 'Leave out --to, or give --topic-only for the messages of that range and nothing else.',
      });
    steps.begin(`reading the offsets of ${topic}`);
    const { start, end } = await withAdmin(deps.kafka, async (admin) =>
      readRange(admin, topic, await requireState(admin, topic), request),
    );
    if (!copies && Object.entries(start).every(([partition, offset]) => offset === end[partition]))
      throw new Failure('Misconfigured', {
        message: `No message of ${topic} lies between --from ${request.from} and ${request.to === undefined ? 'its end' : `--to ${request.to}`}: there is nothing to replay.`,
        remedy: 'Give a range that holds messages, for example --from beginning.',
      });
    if (request.into !== undefined) {
      steps.begin('making the table');
      await makeTarget(deps, targetOf(table, loader, deployment.id), loader, table.route);
    }
    const position: ReplayPosition = {
      offsets: start,
      headers: {},
      requestId: request.requestId,
      start,
      end: copies ? null : end,
      loader,
    };
    await changeStages(deps.ledger, claim, table, {
      add: { [stage]: position, ...(copies ? { [copyStage(replayName(stage))]: {} } : {}) },
      remove: ended.flatMap((each) => [each.stage, copyStage(replayName(each.stage))]),
    });
    for (const each of ended) await forgetLoaderRows(deps.ledger, table.id, replayName(each.stage));
    // After the ledger knows it: a table with a floor does not count as fresh.
    if (isOwnTarget(position) && !copies) await seedFloor(deps, steps, table, position);
    return receiptOf(stage, position, copies);
  });
}

/** Forgets a replay: who still works on it is fenced. What it has written stays. Idempotent. */
export async function cancelReplay(deps: Deps, request: CancelReplayRequest): Promise<void> {
  await runSlice(UNBOUNDED, async () => {
    const { table, claim } = await claimPrepared(deps.ledger, request);
    requireOwnTable(table, await deps.deployment());
    const { replay } = request;
    await changeStages(deps.ledger, claim, table, { remove: [replay, copyStage(replayName(replay))] });
    await forgetLoaderRows(deps.ledger, table.id, replayName(replay));
  });
}

function hasCopy(stages: readonly { readonly stage: StageId }[], stage: StageId): boolean {
  return stages.some((each) => each.stage === copyStage(replayName(stage)));
}

function receiptOf(stage: StageId, { start, end, loader }: ReplayPosition, copies: boolean): ReplayReceipt {
  const target = `${loader.target.database}.${loader.target.table}`;
  return { stage, stages: replaySpecs(stage, copies), start, end, loader: loader.name, target };
}

function requireTopic(table: ReplicatedTable): { readonly topic: string; readonly payload: string } {
  const kafka = kafkaOf(table.route);
  if (kafka !== undefined) return kafka;
  throw new Failure('Misconfigured', {
    message: `No topic carries the rows of ${formatTableName(table.name)}: there is nothing to replay.`,
    remedy: 'Tables with --transport kafka have one.',
  });
}

async function chooseLoader(
  deps: Deps,
  table: ReplicatedTable,
  stage: StageId,
  { loader: name, into }: ReplayRequest,
): Promise<LoaderSpec> {
  const live = name === undefined ? firstLoader(table) : requireLoader(table, name);
  if (into === undefined) {
    if (engineOf(live) === 'replacing') return live;
    throw new Failure('Misconfigured', {
      message: `${targetNames(live.target).shown} is a plain MergeTree: rows of a replay would be there twice.`,
      remedy: 'Replay into a fresh table: --into TABLE.',
    });
  }
  const { connection } = live;
  const loader = await planLoader(deps, table, { name: replayName(stage), target: into, connection });
  const { highest } = await sinkState(deps.sink(loader).clickhouse, loader.target);
  if (highest === null) return loader;
  throw new Failure('TargetTaken', {
    message: `${targetNames(loader.target).shown} holds rows already: a replay with --into fills a fresh table.`,
    remedy: 'Drop it in ClickHouse with its _floor and _current, or name another table.',
  });
}

/** Of a fresh table without a copy: a TRUNCATE before the range hides what is older than it. Idempotent. */
async function seedFloor(deps: Deps, steps: Steps, table: ReplicatedTable, of: ReplayPosition): Promise<void> {
  const { loader, start } = of;
  const step = 'looking for TRUNCATE marks before the range';
  steps.begin(step);
  const { topic } = requireTopic(table);
  const state = await withAdmin(deps.kafka, (admin) => requireState(admin, topic));
  const low = Object.fromEntries(Object.entries(state.offsets).map(([partition, each]) => [partition, each.low]));
  const { id: origin } = await deps.deployment();
  const foreign = foreignTopic(deps, table, topic);
  const reader = deps.reader(topic, { subscriber: `${table.id}/${loader.name}/floor`, origin, form: foreign?.form });
  const range = { low, start, generation: table.generation };
  const options = { signal: steps.signal, onProgress: () => steps.say(step), foreign };
  const floor = await findFloor(reader, range, options);
  if (floor !== undefined) await writeFloor(deps.sink(loader).clickhouse, { target: loader.target }, floor);
}

async function requireState(admin: Admin, topic: string): Promise<TopicState> {
  const state = await topicState(admin, topic);
  if (state !== undefined) return state;
  throw new Failure('TopicReplaced', { message: `The topic ${topic} does not exist any more.` });
}

/** It fills a table of its own. */
function isOwnTarget({ loader }: ReplayPosition): boolean {
  return isReplayName(loader.name);
}
