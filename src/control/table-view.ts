import type { BackfillTerms } from '../domain/backfill.js';
import type { CopyPace } from '../domain/chunk.js';
import type { CopyPriority } from '../domain/copy-priority.js';
import type { Client } from '@temporalio/client';
import { deploymentOf, type Deployment, type TaskQueues } from '../domain/deployment.js';
import type { Kept } from '../domain/kept-table.js';
import type { MessageFormat, StageId, StageSpec } from '../domain/route.js';
import type { ShapeChange } from '../domain/shape.js';
import type { SlotState } from '../domain/slot-state.js';
import { sqlName, sqlNameOf, workflowIdOf, type TableName } from '../domain/table-name.js';
import { isMissingLedger } from '../ledger/query.js';
import type { FailureKind } from '../failure/kinds.js';
import type { TableStatus } from '../../workflows/messages.js';
import type { Phase, Task } from '../../workflows/table-state.js';
import type { Databases } from '../connect/databases.js';
import { readBacklog, type TableBacklog } from './backlog.js';
import { composeTable } from './compose-table.js';
import type { ChangeView, RefusedView } from './change-views.js';
import type { LoaderView } from './loader-views.js';
import { describeTable, queryTable, type TableDescription } from './describe-table.js';
import { listTables } from './list-tables.js';
import { ELSEWHERE_REMEDY, otherDeployment, OTHERS_REMEDY, othersWorkflow, waitsElsewhere } from './own-workflow.js';
import { countWorkers, type Workers } from './workers.js';

/** Where a table stands, from all that know something of it. The shape that `status --json` prints. */
export interface TableView {
  /** `schema.table` as in SQL: every command takes it, and means this table. */
  readonly table: string;
  /** What PostgreSQL calls it by now, as in SQL; null where that is still its name. */
  readonly renamedTo: string | null;
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
  /** How its rows travel: `outbox, kafka (json, row), worker, replacing`. */
  readonly way: string | null;
  readonly topic: string | null;
  readonly format: MessageFormat | null;
  readonly key: readonly string[] | null;
  /** What was chosen for its columns: `until: null; amount: Decimal(18, 4), refuse; left out: notes`. Null where nothing was. */
  readonly columns: string | null;
  /** The condition of its row filter; null where all rows are replicated. */
  readonly where: string | null;
  /** How its first target was made: `--order-by day, id; --ttl ..`. Null where nothing was chosen. */
  readonly stored: string | null;
  readonly estimatedRows: number | null;
  /** The last change of its columns that was followed; null where there was none. */
  readonly schemaChange: ShapeChange | null;
  /** Rows of the first load, so far. */
  readonly copiedRows: number;
  /** How far the first load is, and how fast it goes; null where it is done, or not planned yet. */
  readonly copy: CopyPace | null;
  /** Of its copies; null where no worker answered. */
  readonly priority: CopyPriority | null;
  /** Whether the first load is done. */
  readonly copied: boolean;
  /** In the order in which a row meets them; empty before the table is prepared. */
  readonly stages: readonly StageView[];
  /** In the order in which they were added; empty before the table is prepared. */
  readonly loaders: readonly LoaderView[];
  /** Newest last; of those that ended, the last few. None where no worker answered. */
  readonly replays: readonly ReplayView[];
  /** Likewise. */
  readonly backfills: readonly BackfillView[];
  /** Old tables of its resyncs that are kept. */
  readonly kept: readonly Kept[];
  /** The replication slot that its changes come through, with others of its pipeline; null where triggers or a poll see them. */
  readonly slot: SlotState | null;
  /** Rows that ClickHouse refused and that are set aside: see `pg2click quarantine list`. */
  readonly quarantined: number;
  /** Changes since the first load that are in ClickHouse: those of the last stage. */
  readonly loadedRows: number;
  /** Changes that wait, over all stages; null where that is not known of any. */
  readonly waiting: number | null;
  /** Age of the oldest change that is not in ClickHouse, at least; null where changes wait and nobody knows for how long. */
  readonly lagSeconds: number | null;
  readonly paused: { readonly since: string; readonly reason: string | null } | null;
  readonly failure: FailureView | null;
  /** A request for a change that is not done; null too where no worker answered. */
  readonly change: ChangeView | null;
  /** The last change, where it was refused; until the next one is accepted. */
  readonly refused: RefusedView | null;
  /** The last signal that could not be understood. */
  readonly ignored: { readonly at: string; readonly name: string; readonly problem: string } | null;
  /** Page in Temporal's UI. */
  readonly url: string | null;
}

export interface StageView {
  readonly id: StageId;
  /** The task queue that offers its activity. */
  readonly queue: StageSpec['queue'];
  /** Rows and tombstones confirmed since the table was added; those of a batch that was sent again count again. */
  readonly rows: number;
  /** Changes that wait for it, the batch in hand among them; null where that is not known. */
  readonly waiting: number | null;
  /** Messages that could not be loaded and were set aside, and where they lie; null for a stage that sets none aside. */
  readonly errors: { readonly messages: number; readonly table: string } | null;
  /** Where they wait: `the outbox`, `Kafka`; null for a stage that reads the table itself. */
  readonly waitingIn: string | null;
  /** Age of the oldest of them; null where it is not known. */
  readonly lagSeconds: number | null;
  /** ISO 8601: when it last named or confirmed a batch. */
  readonly lastBatchAt: string;
  /** Whether its activity runs, or waits for its next attempt. */
  readonly running: boolean;
}

export interface ReplayView {
  readonly id: StageId;
  readonly status: 'running' | 'finished' | 'cancelled';
  /** Offsets by partition: the first that is read, and the first that is not; `end` is null until its copy is complete. */
  readonly start: Readonly<Record<string, string>>;
  readonly end: Readonly<Record<string, string>> | null;
  /** `database.table` */
  readonly target: string;
  readonly loader: string;
  readonly at: string;
  readonly endedAt: string | null;
  /** Those of its copy too. */
  readonly rows: number;
  /** Messages of its range that are not loaded yet; null where that is not known. */
  readonly waiting: number | null;
}

export interface BackfillView {
  readonly id: StageId;
  readonly status: 'running' | 'finished' | 'cancelled';
  readonly terms: BackfillTerms;
  /** `database.table` */
  readonly target: string;
  readonly loader: string;
  readonly at: string;
  readonly endedAt: string | null;
  readonly rows: number;
  /** Tombstones. */
  readonly pruned: number;
  /** Null where none is under way, or it is not planned yet. */
  readonly copy: CopyPace | null;
  /** What it waits for, or is at; null where it does not run. */
  readonly doing: string | null;
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
  /** Identity of the worker that met it; null where that is not known. */
  readonly worker: string | null;
}

export interface PipelineView {
  readonly pipeline: string;
  /** Its id; null where nobody asked who we are. */
  readonly deployment: string | null;
  /** ISO 8601. */
  readonly at: string;
  readonly workers: Workers;
  /** Why Temporal was not asked: phases, failures and workers are not known then. Null where it answered. */
  readonly outage: { readonly kind: FailureKind; readonly message: string; readonly remedy: string } | null;
  readonly tables: readonly TableView[];
}

export interface ViewSource extends Databases {
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
  const { client, pipeline } = source;
  const [prepared, listed, workers] = await Promise.all([
    readKnown(source, only),
    only === undefined ? listIds(source) : [workflowIdOf(pipeline, only)],
    countWorkers(client, source.queues),
  ]);
  const ids = new Set([...prepared.keys(), ...listed]);
  const tables = await Promise.all(
    [...ids].map(async (workflowId) => {
      const known = await queryTemporal(source, workflowId, workers.workflow > 0);
      return compose(source, workflowId, prepared.get(workflowId), known);
    }),
  );
  return {
    pipeline,
    deployment: source.deployment?.id ?? null,
    at: new Date().toISOString(),
    workers,
    outage: null,
    tables: tables.filter((table) => table !== undefined).toSorted((a, b) => (a.table < b.table ? -1 : 1)),
  };
}

/**
 * One table, without counting who works: for those who poll.
 * @param asks whether its workflow is queried, which costs a worker a task; without, details of a park are not known
 * @returns undefined where neither the ledger nor Temporal knows it
 */
export async function viewTable(
  source: ViewSource,
  name: TableName,
  { asks }: { readonly asks: boolean },
): Promise<TableView | undefined> {
  const workflowId = workflowIdOf(source.pipeline, name);
  const [prepared, view] = await Promise.all([readKnown(source, name), queryTemporal(source, workflowId, asks)]);
  return compose(source, workflowId, prepared.get(workflowId), view);
}

interface TemporalView {
  /** Undefined too where the workflow is that of another deployment. */
  readonly description: TableDescription | undefined;
  readonly status: TableStatus | undefined;
  readonly misplaced: FailureView | undefined;
}

/** @param asks whether to query the workflow too, which takes a worker */
async function queryTemporal(source: ViewSource, workflowId: string, asks: boolean): Promise<TemporalView> {
  const { client } = source;
  const described = await describeTable(client, workflowId);
  const misplaced = described?.running === true ? misplacedWorkflow(source, workflowId, described) : undefined;
  const description = misplaced?.isOther === true ? undefined : described;
  const status = asks && description?.running === true ? await queryTable(client, workflowId) : undefined;
  return { description, status, misplaced: misplaced?.failure };
}

/** @returns undefined for a table that neither the ledger nor Temporal knows, or that was removed */
function compose(
  source: ViewSource,
  workflowId: string,
  backlog: TableBacklog | undefined,
  { misplaced, description, status }: TemporalView,
): TableView | undefined {
  if (backlog === undefined && description?.running !== true) return undefined;
  const title = backlog === undefined ? sqlNameOf(titleOf(workflowId, source.pipeline)) : sqlName(backlog.table.name);
  const url = urlOf(source, workflowId, description?.runId);
  const view = composeTable({ title, workflowId, backlog, description, status, url });
  return misplaced === undefined ? view : { ...view, failure: misplaced };
}

/** A workflow that no worker of this deployment runs: that of another deployment, or one on a task queue of its own. */
function misplacedWorkflow(
  { client, deployment: own }: ViewSource,
  workflowId: string,
  { taskQueue }: Pick<TableDescription, 'taskQueue'>,
): { readonly isOther: boolean; readonly failure: FailureView } | undefined {
  if (own === undefined) return undefined;
  const { namespace } = client.options;
  const other = otherDeployment(taskQueue, own.id);
  const elsewhere = waitsElsewhere(taskQueue, own.id);
  if (elsewhere === undefined) return undefined;
  const message = other === undefined ? elsewhere : othersWorkflow({ workflowId, namespace, other, own });
  const remedy = other === undefined ? ELSEWHERE_REMEDY : OTHERS_REMEDY;
  const rest = {
    task: null,
    kind: 'Misconfigured',
    since: null,
    retrying: false,
    attempt: null,
    worker: null,
  } as const;
  return { isOther: other !== undefined, failure: { ...rest, message, remedy } };
}

function urlOf({ uiUrl, client }: ViewSource, workflowId: string, runId: string | undefined): string | null {
  if (uiUrl === undefined) return null;
  const run = runId === undefined ? '' : `/${runId}`;
  return `${uiUrl}/namespaces/${encodeURIComponent(client.options.namespace)}/workflows/${encodeURIComponent(workflowId)}${run}`;
}

/** Ids of the workflows that run in the pipeline, but for those of other deployments. The server's list may be seconds old. */
async function listIds({ client, pipeline, deployment: own }: ViewSource): Promise<readonly string[]> {
  const listed = await listTables(client);
  return listed
    .filter(({ workflowId }) => workflowId.startsWith(prefixOf(pipeline)))
    .filter(({ taskQueue }) => own === undefined || (deploymentOf(taskQueue) ?? own.id) === own.id)
    .map(({ workflowId }) => workflowId);
}

/** What was typed by hand may be no name of a table: it is shown as it is. */
function titleOf(workflowId: string, pipeline: string): string {
  return workflowId.slice(prefixOf(pipeline).length);
}

function prefixOf(pipeline: string): string {
  return `replicate/${pipeline}/`;
}

/** What the ledger has, by workflow id. */
export async function readKnown(
  source: Databases & Pick<ViewSource, 'pipeline'>,
  name: TableName | undefined,
): Promise<ReadonlyMap<string, TableBacklog>> {
  try {
    const { pipeline } = source;
    const backlog = await readBacklog(source, { pipeline, name });
    return new Map(backlog.map((each) => [workflowIdOf(pipeline, each.table.name), each]));
  } catch (error) {
    if (isMissingLedger(error)) return new Map();
    throw error;
  }
}
