import { setTimeout as sleep } from 'node:timers/promises';
import type { Queryable } from '../src/connect/queryable.js';
import type { ChangeReceipt } from '../src/domain/receipt.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { deliveryStage, inputOf, kafkaOf, stagesOf, type StageId } from '../src/domain/route.js';
import { captureStageOf, startsAgain } from '../src/domain/route-change.js';
import { composeVersion } from '../src/domain/version.js';
import { asLedgerFailure, classifyPostgres } from '../src/failure/classify-postgres.js';
import { changeStages, definitionOf } from '../src/ledger/change-route.js';
import { checkClaim } from '../src/ledger/registration.js';
import { readStages } from '../src/ledger/stages.js';
import { fenceStage, saveDefinition, switchRoute, type Switch } from '../src/ledger/switch-route.js';
import type { SourceBacklog } from '../src/pipeline/backlog.js';
import { settle } from '../src/source/settle.js';
import { inTransaction } from '../src/source/transaction.js';
import type { TopicPosition } from '../src/topic/topic-source.js';
import { avroFormOf } from './avro-form.js';
import { captureState } from './capture-state.js';
import { connect, ddlOptions, type Begun, type Change } from './change.js';
import type { Deps } from './deps.js';
import { areSharing, beginOverlap, endOverlap, fingerprintAfter, verifyOverlap } from './overlap.js';
import { endOffsets, readyTopic, receiptOf } from './prepare-table.js';

/** Between two looks at what the loaders have left to do. */
const LOOK_MS = 250;

/** All goes on meanwhile. What can be refused is refused here, and what the old route does not feel is made. */
export async function prepareChange(change: Change): Promise<ChangeReceipt> {
  const { deps, steps, table, route, deployment, kind } = change;
  const kafka = kafkaOf(route);
  await avroFormOf(deps, table, route);
  if (kind === 'overlap') return { next: 'draining', start: await beginOverlap(change) };
  if (kafka !== undefined && kafkaOf(table.route) === undefined)
    await readyTopic(deps, steps, { table, kafka, deployment });
  if (kind !== 'growing') return { next: 'draining' };
  return { next: 'draining', start: await outrun(change) };
}

/** The stage that reads the capture has stopped: the topic is loaded to its end, or the new capture is made. */
export async function drainChange(change: Change, start: unknown): Promise<ChangeReceipt> {
  const { deps, table, kind } = change;
  // Another wish has started it again: where reading is to begin was not found yet.
  if ((kind === 'growing' || kind === 'overlap') && start === undefined) return { next: 'preparing' };
  // A frozen attempt of it may thaw: from here on it confirms nothing, and what it still sends is sent again.
  await fenceStage(deps.ledger, table.id, captureStageOf(table.route));
  if (kind === 'to-direct' || kind === 'growing') await waitUntilLoaded(change);
  if (kind === 'next-generation') await installCapture(change);
  return { next: 'switching', start };
}

/** Nothing runs any more: one transaction of the ledger exchanges the route. */
export async function switchChange(change: Change, start: unknown): Promise<ChangeReceipt> {
  const { deps, steps, claim, table, kind } = change;
  steps.begin('exchanging the route');
  // A frozen publisher may have sent its last batch meanwhile. The loaders take it, or direct repeats it: both are the same rows.
  const isLoaded = kind !== 'to-direct' || (await leftToLoad(change)) === 0;
  const isMade = kind !== 'next-generation' || table.spareCaptures?.includes(change.route.capture.kind) === true;
  const isOutrun = (kind !== 'growing' && kind !== 'overlap') || start !== undefined;
  if (!(isLoaded && isMade && isOutrun)) return { next: 'draining', start };
  if (kind === 'overlap') await verifyOverlap(change, start);
  const next = await composeSwitch(change, start);
  await inLedger(deps, (ledger) => switchRoute(ledger, claim, next));
  const prepared = receiptOf(next.table, null);
  return { next: next.table.spareCaptures === undefined ? null : 'clearing', prepared };
}

/**
 * Takes away what captures beside that of the route have made, e.g. that of the route before. Nothing runs meanwhile, because the
 * fingerprint of the table changes with it.
 * @returns the table without them
 */
export async function clearCaptures(change: Begun): Promise<ReplicatedTable> {
  const { deps, steps, table, claim } = change;
  const { spareCaptures = [], ...rest } = table;
  if (spareCaptures.length === 0) return table;
  await using pg = await connect(change);
  if (spareCaptures.every((kind) => areSharing(change, kind))) {
    for (const kind of spareCaptures) await endOverlap(change, pg, kind);
    await changeStages(deps.ledger, claim, table, { definition: definitionOf(rest) });
    return rest;
  }
  for (const kind of spareCaptures) {
    steps.begin(`removing the ${kind} of the table`);
    await deps.captures.named(kind).remove(pg, table, ddlOptions(change));
  }
  const fingerprint = await deps.captures.named(table.route.capture.kind).install(pg, table, ddlOptions(change));
  const cleared = { ...rest, fingerprint };
  await saveDefinition(deps.ledger, claim, cleared);
  return cleared;
}

/** Its name is in the ledger before anything of it is made: what ends the change, or the table, finds it. */
async function installCapture(change: Change): Promise<void> {
  const { deps, steps, table, claim, route } = change;
  const { kind } = route.capture;
  const wanted = { ...table, route };
  const isOurs = table.spareCaptures?.includes(kind) === true;
  await using pg = await connect(change);
  // One that an earlier wish has made fills the outbox that is to be made.
  const others = (table.spareCaptures ?? []).filter((each) => each !== kind);
  for (const other of others) await deps.captures.named(other).remove(pg, table, ddlOptions(change));
  // What an earlier change left is drained to some batch, and the stage begins at none: its half in the source has to start again too.
  if (isOurs && deps.settings.ledger !== undefined)
    await deps.captures.named(kind).remove(pg, table, ddlOptions(change));
  await deps.captures.named(kind).refuseLeftovers?.(deps.source, wanted, isOurs ? wanted : undefined);
  await saveDefinition(deps.ledger, claim, {
    ...table,
    spareCaptures: [...new Set([...(table.spareCaptures ?? []), kind])],
  });
  steps.begin(`installing the ${kind}`);
  await deps.captures.named(kind).install(pg, wanted, ddlOptions(change));
}

/**
 * The new capture is to begin where the old one has brought everything to: after `start`, all rows that it leaves out have their
 * events in the outbox; these are moved before the outbox goes.
 */
async function outrun(change: Change): Promise<object> {
  const { deps, steps, table, route } = change;
  const start = await deps.captures.named(route.capture.kind).startFromNow?.(deps.source, { ...table, route });
  if (start === undefined) throw new Error(`the capture ${route.capture.kind} cannot begin in the middle`);
  await settle(deps.source, table.relation, {
    signal: steps.signal,
    onWait: (writers) => steps.say(`waiting for ${writers} writers`),
  });
  let end: bigint | undefined;
  for (;;) {
    const { newest, done, waiting } = await backlogOf(change);
    end ??= newest;
    if (done >= end) return start;
    steps.begin(`waiting: ${waiting ?? 'some'} changes are to leave the ${table.route.capture.kind} first`);
    await sleep(LOOK_MS, undefined, { signal: steps.signal });
  }
}

async function backlogOf({ deps, table }: Change): Promise<SourceBacklog> {
  const backlog = await captureState(deps, table);
  if (backlog === undefined) throw new Error(`nobody can tell what waits in the ${table.route.capture.kind}`);
  return backlog;
}

async function inLedger(deps: Deps, work: (ledger: Queryable) => Promise<void>): Promise<void> {
  try {
    const client = await deps.ledger.connect();
    let isDone = false;
    try {
      await inTransaction(client, /* sql */ `begin; set local synchronous_commit = on`, () => work(client));
      isDone = true;
    } finally {
      // One in the middle of a transaction is of no use to the next borrower.
      client.release(!isDone);
    }
  } catch (error) {
    throw asLedgerFailure(classifyPostgres(error, 'exchanging the route of a table'));
  }
}

async function composeSwitch(change: Change, start: unknown): Promise<Switch> {
  const { deps, table, kind, route, deployment } = change;
  const reader = { from: captureStageOf(table.route), to: captureStageOf(route) };
  const kafka = kafkaOf(route);
  const isNewReader = kafka !== undefined && (startsAgain(kind) || kafkaOf(table.route) === undefined);
  const transport =
    isNewReader && kafkaOf(table.route) === undefined
      ? await readyTopic(deps, change.steps, { table, kafka, deployment })
      : route.transport;
  const generation = startsAgain(kind) ? table.generation + 1 : table.generation;
  const { spareCaptures: _, ...rest } = table;
  const after = { ...rest, generation, route: { ...route, transport } };
  const before = table.route.capture.kind;
  const differs =
    deps.captures.named(before).installationOf(table) !== deps.captures.named(route.capture.kind).installationOf(after);
  const fingerprint =
    kind === 'next-generation'
      ? await fingerprintOf(change)
      : kind === 'overlap'
        ? fingerprintAfter(change, start)
        : table.fingerprint;
  const loads = stagesOf(route).filter(({ id }) => inputOf(id) === 'topic');
  const position = isNewReader ? await positionAtEnd(change, kafka.topic, reader.from) : {};
  const [main] = table.route.loaders;
  const proof =
    kind === 'to-direct' || kind === 'to-kafka'
      ? { from: deliveryStage(table.route, main?.name), to: deliveryStage(route, main?.name) }
      : undefined;
  const isPartial = route.capture.appendOnly === true && isNewReader;
  return {
    table: {
      ...after,
      fingerprint,
      ...(isPartial ? { partialTopic: true } : {}),
      ...(differs ? { spareCaptures: [before] } : {}),
    },
    reader,
    positions: isNewReader ? Object.fromEntries(loads.map(({ id }) => [id, position])) : {},
    ...(proof === undefined ? {} : { proof }),
    ...(kind === 'next-generation' ? { again: { start: {}, fromNothing: true } } : {}),
    ...(kind === 'growing' ? { again: { start: start as object, fromNothing: false } } : {}),
  };
}

/**
 * Reading begins at the end of the topic. Where positions go on, the target holds all that the reader of the capture has
 * confirmed: that is compared with it from then on.
 */
async function positionAtEnd(change: Change, topic: string, reader: StageId): Promise<TopicPosition> {
  const { deps, table, kind } = change;
  const offsets = await endOffsets(deps, topic);
  const row = (await readStages(deps.ledger, table.id)).find(({ stage }) => stage === reader);
  const { last } = (row?.position ?? {}) as { readonly last?: string };
  const known =
    startsAgain(kind) || last === undefined ? {} : { highest: String(composeVersion(table.generation, BigInt(last))) };
  return { offsets, headers: {}, ...known };
}

async function fingerprintOf(change: Change): Promise<string> {
  const { deps, table, route } = change;
  await using pg = await connect(change);
  // What is there already is not made again.
  return await deps.captures.named(route.capture.kind).install(pg, { ...table, route }, ddlOptions(change));
}

async function waitUntilLoaded(change: Change): Promise<void> {
  const { steps, deps, claim } = change;
  for (;;) {
    const left = await leftToLoad(change);
    if (left === 0) return;
    steps.begin(`waiting: the loaders have ${left} messages left`);
    await sleep(LOOK_MS, undefined, { signal: steps.signal });
    await checkClaim(deps.ledger, claim);
  }
}

/** Messages that are in the topic now and that some loader has not confirmed. */
async function leftToLoad({ deps, table }: Change): Promise<number> {
  const kafka = kafkaOf(table.route);
  if (kafka === undefined) return 0;
  const ends = await endOffsets(deps, kafka.topic);
  const rows = await readStages(deps.ledger, table.id);
  let left = 0;
  for (const { id } of stagesOf(table.route)) {
    if (inputOf(id) !== 'topic') continue;
    const position = rows.find(({ stage }) => stage === id)?.position as Partial<TopicPosition> | undefined;
    const behind = Object.entries(ends).map(([partition, end]) =>
      Math.max(0, Number(BigInt(end) - BigInt(position?.offsets?.[partition] ?? 0))),
    );
    left = Math.max(
      left,
      behind.reduce((sum, messages) => sum + messages, 0),
    );
  }
  return left;
}
