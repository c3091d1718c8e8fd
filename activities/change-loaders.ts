import type { LoaderReceipt, LoaderRequest, RemoveLoaderRequest } from '../src/domain/receipt.js';
import { loaderNamed, targetOf, targetTable, type ReplicatedTable } from '../src/domain/replicated-table.js';
import { isBackfill, type BackfillPosition } from '../src/domain/backfill.js';
import { isReplayName } from '../src/domain/replay.js';
import { isResyncName } from '../src/domain/resync.js';
import {
  copyStage,
  deliveryStage,
  kafkaOf,
  loadStage,
  MAIN_LOADER,
  PUBLISH_STAGE,
  type Route,
} from '../src/domain/route.js';
import { reasonAgainst } from '../src/domain/route-refusal.js';
import { formatTableName, shellName } from '../src/domain/table-name.js';
import { wayToTopic } from '../src/domain/way-out.js';
import { Failure } from '../src/failure/failure.js';
import { dropTarget } from '../src/clickhouse/drop-target.js';
import { changeStages, claimPrepared, definitionOf } from '../src/ledger/change-route.js';
import { checkClaim } from '../src/ledger/registration.js';
import { forgetLoaderRows } from '../src/ledger/quarantine-rows.js';
import { claimStage, readStages } from '../src/ledger/stages.js';
import { topicState, withAdmin } from '../src/topic/admin.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';
import { stepsOf } from '../src/pipeline/steps.js';
import { leaveKept } from './change-kept.js';
import type { Deps } from './deps.js';
import { makeTarget, planLoader } from './loader-target.js';
import { receiptOf } from './prepare-table.js';
import { requireOwnTable } from './require-own-table.js';

/**
 * Gives a table another loader. Its position in the topic is read first; its copy draws a position of its own later and waits for
 * the writers of that moment. So every change is in the copy, or lies behind the position in the topic. Idempotent.
 */
export async function addLoader(deps: Deps, request: LoaderRequest): Promise<LoaderReceipt> {
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, 'addLoader');
    const deployment = await deps.deployment();
    const { table, claim } = await claimPrepared(deps.ledger, request);
    requireOwnTable(table, deployment);
    const { name } = request.loader;
    if (table.route.loaders.some((loader) => loader.name === name))
      return { prepared: receiptOf(table, null), dropped: [], kept: [] };
    refuseName(name);
    requireRoom(deps, table, request.loader);
    steps.begin('looking at the target');
    const loader = await planLoader(deps, table, request.loader);
    const route: Route = { ...table.route, loaders: [...table.route.loaders, loader] };
    const { topic = '' } = kafkaOf(route) ?? {};
    steps.begin(`reading the offsets of ${topic}`);
    // Before the offsets: what was published by then lies before them.
    const since = await publishedTo(deps, table);
    const offsets = await startOffsets(deps, table, topic);
    steps.begin('making the target');
    await checkClaim(deps.ledger, claim);
    await makeTarget(deps, targetOf(table, loader, deployment.id), loader, table.route);
    steps.begin('adding it to the ledger');
    const copies = table.route.capture.appendOnly === true ? {} : { [copyStage(name)]: {} };
    await changeStages(deps.ledger, claim, table, {
      definition: { ...definitionOf(table), route },
      add: { ...copies, [loadStage(name)]: { offsets, headers: {}, since } },
    });
    return { prepared: receiptOf({ ...table, route }, null), dropped: [], kept: [] };
  });
}

/**
 * Takes a loader out, and drops its target if asked. Its stages do not run any more when this is called; who still works on one is
 * fenced first. The topic stays. Idempotent.
 */
export async function removeLoader(deps: Deps, request: RemoveLoaderRequest): Promise<LoaderReceipt> {
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, 'removeLoader');
    const deployment = await deps.deployment();
    const { table, claim } = await claimPrepared(deps.ledger, request);
    requireOwnTable(table, deployment);
    const { name } = request;
    const loaders = table.route.loaders.filter((loader) => loader.name !== name);
    // The workflow asks for loaders that it knows: an earlier attempt has taken it out, and its answer was lost.
    if (loaders.length === table.route.loaders.length)
      return { prepared: receiptOf(table, null), dropped: [], kept: [] };
    if (loaders.length === 0)
      throw new Failure('Misconfigured', {
        message: `${name} is the only loader of ${formatTableName(table.name)}.`,
        remedy: 'Add another one first, or remove the table.',
      });
    steps.begin('ending its stages');
    const stage = deliveryStage(table.route, name);
    await claimStage(deps.ledger, { tableId: table.id, stage, owner: deps.owner });
    const target = targetTable(table, name, deployment.id);
    const shown = `${target.target.database}.${target.target.table}`;
    const stays = [{ name: shown, why: 'its removal was not asked for' }];
    steps.begin('looking at the target');
    const { dropped, kept } = request.dropTarget
      ? await dropTarget(deps.sink(target).clickhouse, target, {
          before: () => checkClaim(deps.ledger, claim),
          repeated: slice.attempt > 1,
        })
      : { dropped: [], kept: stays };
    const old = await leaveKept(deps, loaderNamed(table, name), request.dropTarget);
    steps.begin('forgetting the loader');
    const backfills = (await readStages(deps.ledger, table.id)).flatMap((each) =>
      isBackfill(each.stage) && (each.position as BackfillPosition).loader === name ? [each.stage] : [],
    );
    const route: Route = { ...table.route, loaders };
    await changeStages(deps.ledger, claim, table, {
      definition: { ...definitionOf(table), route },
      remove: [copyStage(name), stage, ...backfills],
    });
    await forgetLoaderRows(deps.ledger, table.id, name);
    return {
      prepared: receiptOf({ ...table, route }, null),
      dropped: [...dropped, ...old.dropped],
      kept: [...kept, ...old.kept],
    };
  });
}

function refuseName(name: string): void {
  if (name !== MAIN_LOADER && !isReplayName(name) && !isResyncName(name)) return;
  throw new Failure('Misconfigured', {
    message: `A loader that is added cannot be named "${name}": ${name === MAIN_LOADER ? 'that is the first loader' : 'replays and resyncs have such names'}.`,
    remedy: 'Choose another name.',
  });
}

/**
 * Before its target is looked at: another target would not help.
 * @throws Failure `UnsuitableTable` the route has no room for a loader more
 */
function requireRoom({ captures, loaders }: Deps, table: ReplicatedTable, wanted: LoaderRequest['loader']): void {
  const { name, target = 'NAME', connection } = wanted;
  if (table.route.capture.everyChange === true)
    throw new Failure('UnsuitableTable', {
      message: 'A log has one loader: without a topic there is one, and a topic may hold a change twice.',
      remedy: 'Let a materialized view on the log fill another table of the same ClickHouse.',
    });
  const kinds = { captures: captures.kinds, loaders: loaders.kinds };
  const added = { kind: 'worker', name, target: { database: '', table: '' } };
  const message = reasonAgainst({ ...table.route, loaders: [...table.route.loaders, added] }, kinds);
  if (message === undefined) return;
  const server = connection === undefined ? '' : ` --server ${connection}`;
  const again = `pg2click loader add ${shellName(table.name)} ${name} --target ${target}${server}`;
  throw new Failure('UnsuitableTable', { message, remedy: `${wayToTopic({ table, kinds })}, then ${again}` });
}

/** The position of the capture up to which all is in the topic, decimal; for displays. */
async function publishedTo(deps: Deps, table: ReplicatedTable): Promise<string> {
  if (table.route.capture.appendOnly === true) return '0';
  const publish = (await readStages(deps.ledger, table.id)).find(({ stage }) => stage === PUBLISH_STAGE);
  return (publish?.position as { readonly last?: string } | undefined)?.last ?? '0';
}

/** Without a copy the topic must hold all that ever was in the table. */
async function startOffsets(deps: Deps, table: ReplicatedTable, topic: string): Promise<Record<string, string>> {
  const state = await withAdmin(deps.kafka, (admin) => topicState(admin, topic));
  if (state === undefined)
    throw new Failure('TopicReplaced', { message: `The topic ${topic} does not exist any more.` });
  const isWhole = table.route.capture.appendOnly === true;
  const { kind } = table.route.capture;
  if (isWhole && table.partialTopic === true)
    throw new Failure('OffsetsExpired', {
      message: `The topic ${topic} lacks rows that came before it was used, and a table of --capture ${kind} is not copied.`,
      remedy: 'Replicate the table in a second pipeline, or change it to --capture outbox, with which loaders copy.',
    });
  const expired = Object.values(state.offsets).some(({ low }) => low !== '0');
  if (isWhole && expired)
    throw new Failure('OffsetsExpired', {
      message: `Kafka has deleted the beginning of ${topic}, and a table of --capture ${kind} is not copied: the loader would lack those rows.`,
      remedy: 'Replicate the table in a second pipeline, or raise KAFKA_RETENTION_MS before tables are added.',
    });
  return Object.fromEntries(
    Object.entries(state.offsets).map(([partition, { low, high }]) => [partition, isWhole ? low : high]),
  );
}
