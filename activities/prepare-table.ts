import type { PrepareReceipt, PrepareRequest } from '../src/domain/receipt.js';
import { formatTableName, type TableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { findTable, listTables, markReady, registerTable } from '../src/ledger/tables.js';
import type { Queryable } from '../src/connect/queryable.js';
import { readSinkIdentity } from '../src/clickhouse/identity.js';
import { highestGeneration } from '../src/clickhouse/target.js';
import { loaderNamed, targetTable, type ReplicatedTable } from '../src/domain/replicated-table.js';
import { loaderOf, MAIN_LOADER, refusalOf, stagesOf, type Route } from '../src/domain/route.js';
import type { Inspection } from '../src/source/capture.js';
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
    const capture = deps.captures.named('outbox');
    const inspection = await capture.inspect(pg, request, { key: request.options.key });
    const known = await findTable(pg, request.pipeline, request);
    const table = known ?? (await register(deps, pg, request, inspection));
    const { transport, loaders } = table.route;
    const stages = stagesOf(table.route);
    if (known === undefined) {
      await capture.remove(pg, table);
      await capture.install(pg, table);
      for (const { kind, name } of loaders)
        await deps.loaders.named(kind).prepare(deps.clickhouse, targetTable(table, name));
      const topicStart = { offsets: await endOffsets(deps, transport.topic), headers: {} };
      await markReady(pg, table, {
        fingerprint: await capture.fingerprint(pg, table),
        positions: Object.fromEntries(stages.map(({ id }) => [id, loaderOf(id) === undefined ? {} : topicStart])),
      });
    }
    const { target } = loaderNamed(table);
    return {
      id: table.id,
      generation: table.generation,
      topic: transport.topic,
      target: `${target.database}.${target.table}`,
      key: table.key,
      estimatedRows: inspection.estimatedRows,
      stages,
    };
  });
}

async function register(
  deps: Deps,
  pg: Queryable,
  request: PrepareRequest,
  inspection: Inspection,
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
  const format = options.format ?? deps.settings.kafka.format;
  const route: Route = {
    capture: inspection.capture,
    transport: { kind: 'kafka', topic, partitions, format, payload: 'row' },
    loaders: [{ kind: 'worker', name: MAIN_LOADER, target, server: await readSinkIdentity(deps.clickhouse) }],
  };
  const refusal = refusalOf(route, { captures: deps.captures.kinds, loaders: deps.loaders.kinds });
  if (refusal !== undefined) throw new Failure('UnsuitableTable', { message: refusal });
  const targetGeneration = await highestGeneration(deps.clickhouse, target);
  return registerTable(pg, {
    pipeline,
    name: { schema: request.schema, table: request.table },
    relation: inspection.relation,
    definition: { columns: inspection.columns, key: inspection.key, route },
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
function topicOf(request: PrepareRequest, defaults: Settings, others: readonly ReplicatedTable[]): string {
  const free =
    defaults.kafka.topic !== undefined && !others.some(({ route }) => route.transport.topic === defaults.kafka.topic);
  return free && defaults.kafka.topic !== undefined ? defaults.kafka.topic : topicNameFor(request.pipeline, request);
}

/** `CH_TABLE` likewise; else the table's own name, with its schema in front unless that is `public`. */
function targetOf(
  chosen: string | undefined,
  name: TableName,
  defaults: Settings,
  others: readonly ReplicatedTable[],
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
    !others.some(({ route }) => route.loaders.some(({ target }) => target.table === defaults.clickhouse.table));
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
