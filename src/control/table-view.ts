import type { Client } from '@temporalio/client';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import type { MessageFormat } from '../domain/route.js';
import type { Deployment, TaskQueues } from '../domain/deployment.js';
import { formatTableName, parseTableName, workflowIdOf, type TableName } from '../domain/table-name.js';
import { policyOf, type FailureKind } from '../failure/kinds.js';
import { listTables } from '../ledger/tables.js';
import type { Queryable } from '../connect/queryable.js';
import { readStages, type StageRow } from '../ledger/stages.js';
import type { TableStatus } from '../../workflows/messages.js';
import type { Phase, Task } from '../../workflows/table-state.js';
import {
  describeTable,
  listTableWorkflows,
  queryTable,
  type PendingTask,
  type TableDescription,
} from './describe-table.js';
import { ELSEWHERE_REMEDY, otherDeployment, OTHERS_REMEDY, othersWorkflow, waitsElsewhere } from './own-workflow.js';
import { countWorkers, type Workers } from './workers.js';

/** Where a table stands, from all that know something of it. The shape that `status --json` prints. */
export interface TableView {
  /** `schema.table` */
  readonly table: string;
  readonly workflowId: string;
  /** `stopped`: the ledger holds the table and no workflow runs for it. */
  readonly phase: Phase | 'stopped' | 'unknown';
  /** Whether a worker answered for it just now; without one, nothing moves. */
  readonly answering: boolean;
  /** Activities that run, or wait for their next attempt. Paused and empty: nothing is touched any more. */
  readonly running: readonly Task[];
  /** What preparing, the first load or removing is at, or waits for: `waiting: shop.orders is held by process 4711 (..)`. */
  readonly doing: string | null;
  readonly target: string | null;
  readonly topic: string | null;
  readonly format: MessageFormat | null;
  readonly key: readonly string[] | null;
  readonly estimatedRows: number | null;
  /** Rows of the first load, so far. */
  readonly copiedRows: number;
  /** Whether the first load is done. */
  readonly copied: boolean;
  /** Changes since then: sent to Kafka, and in ClickHouse. */
  readonly publishedRows: number;
  readonly loadedRows: number;
  /** Events in the outbox, rows in Kafka; null before the table is prepared. */
  readonly waiting: { readonly publish: number | null; readonly load: number | null };
  /** Age of the oldest change that is not in ClickHouse; null while nothing moves, and nobody knows. */
  readonly lagSeconds: number | null;
  readonly paused: { readonly since: string; readonly reason: string | null } | null;
  readonly failure: FailureView | null;
  /** Page in Temporal's UI. */
  readonly url: string | null;
}

export interface FailureView {
  /** Null where only its kind is known, for want of a worker. */
  readonly task: Task | null;
  readonly kind: FailureKind;
  readonly message: string;
  readonly remedy: string;
  readonly since: string | null;
  /** It is tried again by itself; otherwise it waits for a person and `resume`. */
  readonly retrying: boolean;
  /** Of the attempt that runs or comes next. */
  readonly attempt: number | null;
}

export interface PipelineView {
  readonly pipeline: string;
  /** Its id; null where nobody asked who we are. */
  readonly deployment: string | null;
  /** ISO 8601. */
  readonly at: string;
  readonly workers: Workers;
  readonly tables: readonly TableView[];
}

export interface ViewSource {
  readonly pg: Queryable;
  readonly client: Client;
  readonly pipeline: string;
  /** The deployment's. */
  readonly queues: TaskQueues;
  /** Without it, workflows of all deployments are taken for ours. */
  readonly deployment?: Deployment | undefined;
  readonly uiUrl: string | undefined;
}

/** Everything of a pipeline: what the ledger holds, and what Temporal runs that is not prepared yet. */
export async function viewPipeline(source: ViewSource, only?: TableName): Promise<PipelineView> {
  const { pg, client, pipeline } = source;
  const replicated = await readLedger(pg, pipeline);
  const [listed, workers] = await Promise.all([
    only === undefined ? listTableWorkflows(client, pipeline, source.deployment?.id) : [],
    countWorkers(client, source.queues),
  ]);
  const names = new Map<string, TableName>();
  for (const { name } of replicated) names.set(workflowIdOf(pipeline, name), name);
  for (const workflowId of listed) names.set(workflowId, nameOf(workflowId, pipeline));
  if (only !== undefined) {
    names.clear();
    names.set(workflowIdOf(pipeline, only), only);
  }
  // PostgreSQL is asked one after the other, on one connection; Temporal, where a question may take seconds, all at once.
  const known: KnownTable[] = [];
  for (const [workflowId, name] of names) {
    const table = replicated.find((each) => workflowIdOf(pipeline, each.name) === workflowId);
    const stages = table === undefined ? [] : await readStages(pg, table.id);
    const backlog = table === undefined ? null : await countBacklog(pg, table.id, stages);
    known.push({ workflowId, name, table, stages, backlog });
  }
  const tables = await Promise.all(known.map((table) => viewTable(source, table, workers.workflow > 0)));
  return {
    pipeline,
    deployment: source.deployment?.id ?? null,
    at: new Date().toISOString(),
    workers,
    tables: tables.filter((table) => table !== undefined).toSorted((a, b) => (a.table < b.table ? -1 : 1)),
  };
}

/** @returns undefined for a table that neither the ledger nor Temporal knows, or that was removed */
async function viewTable(source: ViewSource, known: KnownTable, asked: boolean): Promise<TableView | undefined> {
  const { workflowId } = known;
  const described = await describeTable(source.client, workflowId);
  const misplaced = described?.running === true ? misplacedWorkflow(source, workflowId, described) : undefined;
  const description = misplaced?.isOther === true ? undefined : described;
  if (known.table === undefined && description?.running !== true) return undefined;
  const status = asked && description?.running === true ? await queryTable(source.client, workflowId) : undefined;
  const view = compose({ ...known, description, status, source });
  return misplaced === undefined ? view : { ...view, failure: misplaced.failure };
}

/** A workflow that no worker of this deployment runs: that of another deployment, or one on a task queue of its own. */
function misplacedWorkflow(
  { client, deployment: own }: ViewSource,
  workflowId: string,
  { taskQueue }: TableDescription,
): { readonly isOther: boolean; readonly failure: FailureView } | undefined {
  if (own === undefined) return undefined;
  const { namespace } = client.options;
  const other = otherDeployment(taskQueue, own.id);
  const elsewhere = waitsElsewhere(taskQueue, own.id);
  if (elsewhere === undefined) return undefined;
  const message = other === undefined ? elsewhere : othersWorkflow({ workflowId, namespace, other, own });
  const remedy = other === undefined ? ELSEWHERE_REMEDY : OTHERS_REMEDY;
  const rest = { task: null, kind: 'Misconfigured', since: null, retrying: false, attempt: null } as const;
  return { isOther: other !== undefined, failure: { ...rest, message, remedy } };
}

/** What the ledger knows of a table. */
interface KnownTable {
  readonly workflowId: string;
  readonly name: TableName;
  readonly table: ReplicatedTable | undefined;
  readonly stages: readonly StageRow[];
  readonly backlog: number | null;
}

interface KnownEverywhere extends KnownTable {
  readonly description: TableDescription | undefined;
  readonly status: TableStatus | undefined;
  readonly source: ViewSource;
}

function compose(known: KnownEverywhere): TableView {
  const { workflowId, table, stages, description, status, source } = known;
  const pending = description?.pending ?? [];
  const rowsOf = (stage: StageRow['stage']) => Number(stages.find((each) => each.stage === stage)?.rows ?? 0);
  const progressOf = (task: Task) => pending.find((each) => each.task === task)?.progress;
  // The ledger knows first: the workflow hears of it with the receipt.
  const copied = (stages.find((each) => each.stage === 'copy')?.batch ?? 0) > 0;
  const target = table?.route.loaders[0]?.target;
  const phase = description?.running === true ? (status?.phase ?? description.phase ?? 'unknown') : 'stopped';
  return {
    table: formatTableName(known.name),
    workflowId,
    phase,
    answering: status !== undefined,
    running: pending.map(({ task }) => task),
    doing: (progressOf('prepare') ?? progressOf('copy') ?? progressOf('remove'))?.moved ?? null,
    target: target === undefined ? null : `${target.database}.${target.table}`,
    topic: table?.route.transport.topic ?? null,
    format: table?.route.transport.format ?? null,
    key: table?.key ?? null,
    estimatedRows: status?.prepared?.estimatedRows ?? null,
    copiedRows: copied ? rowsOf('copy') : (progressOf('copy')?.rows ?? 0),
    copied,
    publishedRows: rowsOf('publish'),
    loadedRows: rowsOf('load:main'),
    waiting: {
      publish: known.backlog,
      load: progressOf('load:main')?.waiting ?? Math.max(0, rowsOf('publish') - rowsOf('load:main')),
    },
    lagSeconds: phase === 'streaming' || phase === 'copying' ? lagOf(pending, status) : null,
    paused: status?.paused ?? null,
    failure: failureOf(pending, status, description),
    url: urlOf(source, workflowId, description?.runId),
  };
}

/** The running slices know it now; the workflow, as of the slices that ended. */
function lagOf(pending: readonly PendingTask[], status: TableStatus | undefined): number | null {
  const told = pending.flatMap(({ task, progress }) =>
    task !== 'copy' && progress !== undefined ? [progress.lagSeconds] : [],
  );
  if (told.length > 0) return Math.max(...told);
  return status?.lagSeconds ?? null;
}

/** A park first; then what is being retried right now. */
function failureOf(
  pending: readonly PendingTask[],
  status: TableStatus | undefined,
  description: TableDescription | undefined,
): FailureView | null {
  const park = status?.parks[0];
  if (park !== undefined) {
    const { where, kind, message, remedy, since } = park;
    return { task: where, kind, message, remedy, since, retrying: false, attempt: null };
  }
  const retried = pending.find((each) => each.failure !== undefined && each.attempt > 1);
  if (retried?.failure !== undefined)
    return { task: retried.task, ...retried.failure, since: null, retrying: true, attempt: retried.attempt };
  const kind = status === undefined && description?.running === true ? description.failureKind : undefined;
  if (kind === undefined) return null;
  return {
    task: null,
    kind,
    message: 'The workflow tells the details once a worker answers.',
    remedy: policyOf(kind).remedy,
    since: null,
    retrying: description?.phase !== 'parked',
    attempt: null,
  };
}

function urlOf({ uiUrl, client }: ViewSource, workflowId: string, runId: string | undefined): string | null {
  if (uiUrl === undefined) return null;
  const run = runId === undefined ? '' : `/${runId}`;
  return `${uiUrl}/namespaces/${encodeURIComponent(client.options.namespace)}/workflows/${encodeURIComponent(workflowId)}${run}`;
}

/** Names in workflow ids are unquoted, except where they hold a dot or a quote. */
function nameOf(workflowId: string, pipeline: string): TableName {
  const written = workflowId.slice(`replicate/${pipeline}/`.length);
  const quoted = written.replaceAll(/(^|\.)([^".]+)(?=\.|$)/gu, '$1"$2"');
  return parseTableName(quoted);
}

/** Counting is exact up to here; a longer backlog is estimated from the sequence. */
const COUNTED = 50_000;

async function countBacklog(pg: Queryable, id: string, stages: readonly StageRow[]): Promise<number | null> {
  const publish = stages.find(({ stage }) => stage === 'publish');
  if (publish === undefined) return null;
  // The name is ours: `outbox_` and digits.
  const outbox = `pg2click.outbox_${id}`;
  const found = await pg.query<{ waiting: number; estimate: number }>(
    /* sql */ `select count(*)::int as waiting, coalesce(max(last_value) - min(seq), 0)::float8 as estimate
      from (select seq from ${outbox} where seq > $1 order by seq limit ${COUNTED}) events,
        pg_sequence_last_value(pg_get_serial_sequence($2, 'seq')) last_value`,
    [publish.lowWater, outbox],
  );
  const { waiting, estimate } = found.rows[0] ?? { waiting: 0, estimate: 0 };
  return waiting < COUNTED ? waiting : estimate;
}

/** SQLSTATE of a schema or table that is not there: nothing was ever replicated. */
const NO_LEDGER = ['3F000', '42P01'];

async function readLedger(pg: Queryable, pipeline: string): Promise<readonly ReplicatedTable[]> {
  try {
    return await listTables(pg, pipeline);
  } catch (error) {
    const cause = error instanceof Error ? (error.cause as { code?: unknown } | undefined) : undefined;
    if (NO_LEDGER.includes(String(cause?.code))) return [];
    throw error;
  }
}
