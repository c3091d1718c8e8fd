import { describeDeployment, type Deployment } from '../src/domain/deployment.js';
import { keptBy } from '../src/domain/kept-table.js';
import type { PrepareReceipt, PrepareRequest } from '../src/domain/receipt.js';
import { firstLoader, targetTable, type ReplicatedTable } from '../src/domain/replicated-table.js';
import { inputOf, kafkaOf, stagesOf, type KafkaTransport } from '../src/domain/route.js';
import { refusalOf } from '../src/domain/route-refusal.js';
import { formatTableName, shellName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { takenRemedy } from '../src/failure/remedies.js';
import {
  checkClaim,
  listTakenNames,
  markReady,
  readStanding,
  registerTable,
  type DdlClaim,
  type Standing,
} from '../src/ledger/registration.js';
import type { Queryable } from '../src/connect/queryable.js';
import { readSinkIdentity } from '../src/clickhouse/identity.js';
import { renewMarks } from '../src/clickhouse/renew-marks.js';
import { targetEngine } from '../src/clickhouse/target-engines.js';
import { hasTarget, refuseUnknownGeneration } from '../src/clickhouse/target.js';
import { currentName, findRelation } from '../src/source/catalog/place.js';
import type { Capture, Inspection } from '../src/source/capture.js';
import { definitionOf } from '../src/ledger/change-route.js';
import { saveOwner } from '../src/ledger/tables.js';
import { ensureTopic, requireForeignTopic, topicState, withAdmin } from '../src/topic/admin.js';
import { lastRecords } from '../src/topic/last-headers.js';
import { findOtherOrigin } from '../src/topic/origin.js';
import { avroFormOf } from './avro-form.js';
import { chooseRoute, DEFAULT_CAPTURE, strayMessages, strayOptions } from './choose-route.js';
import type { Deps } from './deps.js';
import { refuseSecondName } from '../src/ledger/second-name.js';
import { requireOwnTable } from './require-own-table.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';
import { stepsOf, type Steps } from '../src/pipeline/steps.js';

/**
 * Makes a table ready. First all that can be refused (names, target, topic), then the outbox with its triggers, the only part that
 * writers feel, then the target; the row is marked ready last. Each step is idempotent: an attempt that broke off is simply made
 * again. Each step checks that no other attempt has taken over: one that wakes up late changes nothing.
 */
export async function prepareTable(
  deps: Deps,
  request: PrepareRequest,
  { lockWaitMs }: { readonly lockWaitMs?: number } = {},
): Promise<PrepareReceipt> {
  return runSlice(UNBOUNDED, async (slice) => {
    const steps = stepsOf(slice, 'prepare');
    // Before the wait for a turn: what others do to the table from here on fences this attempt.
    const standing = await readStanding(deps.ledger, request.pipeline, request);
    await using pg = await deps.connectSource(`prepare ${formatTableName(request)}`, {
      signal: steps.signal,
      onWait: (ahead) => steps.say(`waiting for its turn, ${ahead} ahead of it`),
    });
    const deployment = await deps.deployment();
    steps.begin('looking at the table');
    // A table that is ready may have been given another capture since.
    const known = standing.ready ? standing.table?.route.capture.kind : undefined;
    const capture = deps.captures.named(known ?? request.options.capture ?? DEFAULT_CAPTURE);
    const ready = standing.ready ? standing.table : undefined;
    if (ready === undefined) await refuseSecondName(deps.ledger, request, await findRelation(pg, request));
    const inspection = await capture.inspect(pg, ready === undefined ? request : await currentName(pg, ready), {
      ...request.options,
      known: ready,
    });
    if (standing.table !== undefined && standing.ready) {
      requireOwnTable(standing.table, deployment);
      await adopt(deps, standing.table, deployment);
      return receiptOf(standing.table, inspection.estimatedRows);
    }

    const { table, claim } = await register(deps, steps, { request, inspection, standing, deployment });
    steps.begin('checking its target');
    for (const loader of table.route.loaders)
      await targetEngine(loader).check(deps.clickhouse, targetTable(table, loader.name, deployment.id));
    const kafka = kafkaOf(table.route);
    await avroFormOf(deps, table);
    const transport =
      kafka === undefined ? table.route.transport : await readyTopic(deps, steps, { table, kafka, deployment });
    const fingerprint = await install(deps, pg, steps, { capture, table, claim, before: standing.table, lockWaitMs });
    steps.begin('making the target');
    await checkClaim(deps.ledger, claim);
    for (const { kind, name } of table.route.loaders)
      await deps.loaders.named(kind).prepare(deps, targetTable(table, name, deployment.id), {
        loader: name,
        transport: kafkaOf({ transport }),
      });
    steps.begin('marking it ready');
    const { route } = table;
    const topicStart = kafka === undefined ? {} : { offsets: await endOffsets(deps, kafka.topic), headers: {} };
    await markReady(deps.ledger, claim, {
      definition: definitionOf({ ...table, owner: deployment, route: { ...route, transport } }),
      fingerprint,
      positions: Object.fromEntries(stagesOf(route).map(({ id }) => [id, inputOf(id) === 'topic' ? topicStart : {}])),
    });
    return receiptOf(table, inspection.estimatedRows);
  });
}

/** Two tables that are added at once may both find the name of the settings free: the second looks again, and takes its own. */
const REGISTER_TRIES = 3;

/** Before anything is made, and before the target is checked: what is registered, a removal can find and drop. */
async function register(
  deps: Deps,
  steps: Steps,
  known: {
    readonly request: PrepareRequest;
    readonly inspection: Inspection;
    readonly standing: Standing;
    readonly deployment: Deployment;
  },
): ReturnType<typeof registerTable> {
  const { request, inspection, standing, deployment } = known;
  const { options, pipeline, schema, table } = request;
  const name = { schema, table };
  const { columns, excluded, where, key, capture, relation } = inspection;
  const server = await readSinkIdentity(deps.clickhouse);
  for (let tries = 1; ; tries += 1) {
    steps.begin('choosing its route');
    const taken = await listTakenNames(deps.ledger, pipeline, name);
    const route = chooseRoute(request, { settings: deps.settings, capture, taken, server });
    const refusal =
      strayOptions(options, capture) ??
      refusalOf(route, { captures: deps.captures.kinds, loaders: deps.loaders.kinds }) ??
      strayMessages(options, route);
    if (refusal !== undefined) throw new Failure('UnsuitableTable', { message: refusal });
    const loader = firstLoader({ route });
    const targetGeneration = await targetEngine(loader).highestGeneration(deps.clickhouse, loader.target);
    const definition = {
      columns,
      ...(excluded === undefined ? {} : { excluded }),
      ...(where === undefined ? {} : { where }),
      key,
      route,
      owner: deployment,
    };
    // A row of the table is written by an attempt that found nothing to refuse.
    if (standing.table === undefined)
      await refuseUnknownGeneration(
        deps.clickhouse,
        { name, ...definition, target: loader.target },
        { highest: targetGeneration, past: standing.past ?? 0 },
      );
    steps.begin('registering it');
    try {
      return await registerTable(deps.ledger, { pipeline, name, relation, definition, targetGeneration }, standing);
    } catch (error) {
      const isTaken = error instanceof Failure && error.kind === 'TargetTaken';
      const isChosen = options.topic !== undefined && options.target !== undefined;
      if (!isTaken || isChosen || tries >= REGISTER_TRIES) throw error;
    }
  }
}

export interface TopicOf {
  readonly table: ReplicatedTable;
  readonly kafka: KafkaTransport;
  readonly deployment: Deployment;
}

/** @returns the transport with the partitions that the topic really has */
export async function readyTopic(deps: Deps, steps: Steps, of: TopicOf): Promise<KafkaTransport> {
  if (of.table.route.capture.foreignTopic === true) return foundTopic(deps, steps, of);
  steps.begin(`making the topic ${of.kafka.topic}`);
  const { partitions, created, refused, shorter } = await makeTopic(deps, of);
  const { topic } = of.kafka;
  const table = formatTableName(of.table.name);
  if (refused !== undefined)
    deps.log.warn({ table, topic, refused }, 'kafka took a topic without some of its settings');
  if (shorter !== undefined)
    deps.log.warn(
      { table, topic, shorter },
      'a topic that was there deletes messages sooner than KAFKA_RETENTION_MS says',
    );
  if (!created) await checkTopic(deps, of);
  return { ...of.kafka, partitions };
}

async function foundTopic(deps: Deps, steps: Steps, { table, kafka }: TopicOf): Promise<KafkaTransport> {
  const { topic } = kafka;
  const elsewhere = takenRemedy(table, 'topic');
  steps.begin(`looking at the topic ${topic}`);
  const ways = {
    missing: `Start the connector that writes it, then resume the table. For another topic: ${elsewhere}`,
    unfit: elsewhere,
  };
  const partitions = await withAdmin(deps.kafka, (admin) => requireForeignTopic(admin, topic, ways));
  return { ...kafka, partitions };
}

/** What Kafka refuses is the name, or what the topic is set up as: either way another one leads out. */
async function makeTopic(deps: Deps, { table, kafka: { topic } }: TopicOf): ReturnType<typeof ensureTopic> {
  const { partitions, retentionMs } = deps.settings.kafka;
  return withAdmin(deps.kafka, async (admin) => {
    try {
      return await ensureTopic(admin, { topic, partitions, retentionMs });
    } catch (error) {
      if (!(error instanceof Failure) || error.kind !== 'Misconfigured' || error.remedy !== undefined) throw error;
      const { message, cause } = error;
      throw new Failure(error.kind, { message, remedy: takenRemedy(table, 'topic'), cause });
    }
  });
}

/** Where a topic is there already, its last messages say who writes it. */
async function checkTopic(deps: Deps, { table, kafka: { topic }, deployment: own }: TopicOf): Promise<void> {
  const state = await withAdmin(deps.kafka, (admin) => topicState(admin, topic));
  if (state === undefined) return;
  const reader = deps.reader(topic, { subscriber: `${table.id}/origin`, form: lastRecords });
  const origin = await findOtherOrigin(reader, state, own.id);
  if (origin === undefined) return;
  throw new Failure('TargetTaken', {
    message: `The topic ${topic} was last written by deployment ${origin}, and this is deployment ${describeDeployment(own)}.`,
    remedy: `${takenRemedy(table, 'topic')}. If the other deployment is gone for good, delete the topic, then run pg2click resume ${shellName(table.name)}.`,
  });
}

/**
 * A table of a release in which deployments had no identity becomes ours: in the ledger, and by the marks in ClickHouse. The
 * server that has its target now is the one that it was made on.
 */
async function adopt(deps: Deps, table: ReplicatedTable, own: Deployment): Promise<void> {
  if (table.owner !== undefined) return;
  const server = await readSinkIdentity(deps.clickhouse);
  const loaders = [];
  for (const loader of table.route.loaders) {
    const target = targetTable(table, loader.name, own.id);
    const isHere = await hasTarget(deps.clickhouse, target);
    if (isHere) await renewMarks(deps.clickhouse, target, deps.log);
    loaders.push(isHere ? { server, ...loader } : loader);
  }
  const { route } = table;
  await saveOwner(deps.ledger, table.id, {
    ...definitionOf(table),
    route: { ...route, loaders },
    owner: own,
    adopted: true,
  });
}

/**
 * What an earlier attempt made in PostgreSQL stays where it still fits: to make it again would lock the user's table twice.
 * @param known `before`: the row as the earlier attempt left it
 * @returns the fingerprint
 */
async function install(
  deps: Deps,
  pg: Queryable,
  steps: Steps,
  known: {
    readonly capture: Capture;
    readonly table: ReplicatedTable;
    readonly claim: DdlClaim;
    readonly before: ReplicatedTable | undefined;
    readonly lockWaitMs: number | undefined;
  },
): Promise<string> {
  const { capture, table, claim, before, lockWaitMs } = known;
  const options = {
    signal: steps.signal,
    onWait: (holders: string) => steps.say(`waiting: ${holders}`),
    giveUpMs: lockWaitMs,
    ledgerElsewhere: deps.settings.ledger !== undefined,
    fence: (transaction: Queryable) => checkClaim(deps.ledgerWithin(transaction), claim),
    connectSlots: deps.connectSlots,
  };
  try {
    await capture.refuseLeftovers?.(pg, table, before);
  } catch (error) {
    // What is there may be that of an attempt that has taken over.
    await checkClaim(deps.ledger, claim);
    throw error;
  }
  if (before !== undefined && capture.installationOf(before) !== capture.installationOf(table)) {
    steps.begin('removing what an earlier attempt made');
    await capture.remove(pg, table, options);
  }
  steps.begin('installing the capture');
  return capture.install(pg, table, options);
}

/** What is shown of a table that is prepared. */
export function receiptOf(table: ReplicatedTable, estimatedRows: number | null): PrepareReceipt {
  const { id, generation, key, route } = table;
  const { target } = firstLoader(table);
  const topic = kafkaOf(route)?.topic ?? null;
  const stages = stagesOf(route);
  const kept = keptBy(route);
  const receipt = { id, generation, topic, target: `${target.database}.${target.table}`, key, estimatedRows, stages };
  return kept.length === 0 ? receipt : { ...receipt, kept };
}

/** Messages that are in the topic already belong to an older history of the table: loading starts after them. */
export async function endOffsets(deps: Deps, topic: string): Promise<Record<string, string>> {
  const state = await withAdmin(deps.kafka, (admin) => topicState(admin, topic));
  if (state === undefined)
    throw new Failure('TopicReplaced', { message: `The topic ${topic} vanished while it was prepared.` });
  return Object.fromEntries(Object.entries(state.offsets).map(([partition, { high }]) => [partition, high]));
}
