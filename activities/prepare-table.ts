import type { PrepareReceipt, PrepareRequest } from '../src/domain/receipt.js';
import { formatTableName, type TableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { findTable, listTables, markReady, registerTable, type Definition } from '../src/ledger/tables.js';
import type { Queryable } from '../src/connect/queryable.js';
import { createTarget, highestGeneration } from '../src/clickhouse/target.js';
import { inspectTable } from '../src/source/catalog/inspect.js';
import { fingerprintTable } from '../src/source/catalog/fingerprint.js';
import { installOutbox, removeOutbox } from '../src/source/outbox/install.js';
import { ensureTopic, topicNameFor, topicState } from '../src/transport/topic.js';
import type { Settings } from '../src/settings/settings.js';
import type { Deps } from './deps.js';
import { UNBOUNDED, runSlice } from '../src/pipeline/slice.js';

/**
 * Makes a table ready: topic, ledger row, outbox with its triggers, target; in this order, so that the triggers (the only
 * part that writers feel) come when all else that can be refused was not. Each step is idempotent, and the row is marked
 * ready last: an attempt that broke off is simply made again.
 */
export async function prepareTable(deps: Deps, request: PrepareRequest): Promise<PrepareReceipt> {
  return runSlice(UNBOUNDED, async (slice) => {
    const title = formatTableName(request);
    await using pg = await deps.connectSource(`prepare ${title}`, { signal: slice.ending });
    const inspection = await inspectTable(pg, request, { key: request.options.key });
    const known = await findTable(pg, request.pipeline, request);
    const table = known ?? (await register(deps, pg, request, inspection));
    if (known === undefined) {
      await removeOutbox(pg, { id: table.id, name: table.name });
      await installOutbox(pg, table);
      await createTarget(deps.clickhouse, table);
      await markReady(pg, table, {
        fingerprint: await fingerprintTable(pg, table),
        loadPosition: { offsets: await endOffsets(deps, table.topic), headers: {} },
      });
    }
    return {
      id: table.id,
      generation: table.generation,
      topic: table.topic,
      target: `${table.target.database}.${table.target.table}`,
      key: table.key,
      estimatedRows: inspection.estimatedRows,
    };
  });
}

async function register(
  deps: Deps,
  pg: Queryable,
  request: PrepareRequest,
  inspection: Awaited<ReturnType<typeof inspectTable>>,
): ReturnType<typeof registerTable> {
  const { options, pipeline } = request;
  const others = await listTables(pg, pipeline);
  const target = targetOf(options.target, request, deps.settings, others);
  const topic = options.topic ?? topicOf(request, deps.settings, others);
  const { partitions } = await withAdmin(deps, (admin) =>
    ensureTopic(admin, {
      topic,
      partitions: deps.settings.kafka.partitions,
      retentionMs: deps.settings.kafka.retentionMs,
    }),
  );
  const definition: Definition = {
    columns: inspection.columns,
    key: inspection.key,
    triggerLevel: inspection.triggerLevel,
    topic,
    partitions,
    format: options.format ?? deps.settings.kafka.format,
    target,
  };
  const targetGeneration = await highestGeneration(deps.clickhouse, target);
  return registerTable(pg, {
    pipeline,
    name: { schema: request.schema, table: request.table },
    relation: inspection.relation,
    definition,
    targetGeneration,
  });
}

/** Messages that are in the topic already belong to an older history of the table: loading starts after them. */
async function endOffsets(deps: Deps, topic: string): Promise<Record<string, string>> {
  const state = await withAdmin(deps, (admin) => topicState(admin, topic));
  if (state === undefined)
    throw new Failure('TopicReplaced', { message: `The topic ${topic} vanished while it was prepared.` });
  return Object.fromEntries(Object.entries(state.offsets).map(([partition, { high }]) => [partition, high]));
}

/** `KAFKA_TOPIC` is singular, as in the recipe: it names the first table's; every other one gets a name of its own. */
function topicOf(request: PrepareRequest, defaults: Settings, others: readonly { topic: string }[]): string {
  const free = defaults.kafka.topic !== undefined && !others.some((other) => other.topic === defaults.kafka.topic);
  return free && defaults.kafka.topic !== undefined ? defaults.kafka.topic : topicNameFor(request.pipeline, request);
}

/** `CH_TABLE` likewise; else the table's own name, with its schema in front unless that is `public`. */
function targetOf(
  chosen: string | undefined,
  name: TableName,
  defaults: Settings,
  others: readonly { target: { table: string } }[],
): { database: string; table: string } {
  if (chosen !== undefined) {
    const dot = chosen.indexOf('.');
    return dot < 0
      ? { database: defaults.clickhouse.database, table: chosen }
      : { database: chosen.slice(0, dot), table: chosen.slice(dot + 1) };
  }
  const own = name.schema === 'public' ? name.table : `${name.schema}_${name.table}`;
  const free =
    defaults.clickhouse.table !== undefined &&
    !others.some((other) => other.target.table === defaults.clickhouse.table);
  return {
    database: defaults.clickhouse.database,
    table: free && defaults.clickhouse.table !== undefined ? defaults.clickhouse.table : own,
  };
}

async function withAdmin<T>(deps: Deps, use: (admin: ReturnType<Deps['kafka']['admin']>) => Promise<T>): Promise<T> {
  const admin = deps.kafka.admin();
  try {
    await admin.connect();
    return await use(admin);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}
