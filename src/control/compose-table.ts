import {
  COPY_STAGE,
  copyStage,
  deliveryStage,
  inputOf,
  kafkaOf,
  stagesOf,
  loaderOf,
  waitingPlace,
  type Route,
  type StageId,
} from '../domain/route.js';
import { engineNames } from '../clickhouse/kafka-engine/names.js';
import { replayName } from '../domain/replay.js';
import { shellWord, sqlName } from '../domain/table-name.js';
import { describeLayout } from '../domain/target-layout.js';
import { describeChoices } from '../domain/column-choices.js';
import { filterSql } from '../domain/row-filter.js';
import { keptBy } from '../domain/kept-table.js';
import { describeRoute } from '../domain/route-choice.js';
import { laterShapes, type ShapeChange } from '../domain/shape.js';
import { policyOf } from '../failure/kinds.js';
import { CHANGE_TASKS, type Replay } from '../../workflows/changes.js';
import type { TableStatus } from '../../workflows/messages.js';
import type { Task } from '../../workflows/table-state.js';
import type { StageBacklog, TableBacklog } from './backlog.js';
import type { PendingTask, TableDescription } from './describe-table.js';
import { changeView, refusedView } from './change-views.js';
import { loaderViews } from './loader-views.js';
import type { Backfill } from '../../workflows/backfills.js';
import { temporalCommand } from './temporal-command.js';
import type { BackfillView, FailureView, ReplayView, StageView, TableView } from './table-view.js';

/** All that is known of a table. */
export interface KnownTable {
  readonly title: string;
  readonly workflowId: string;
  /** Undefined before it is prepared. */
  readonly backlog: TableBacklog | undefined;
  /** Undefined where no workflow ever ran. */
  readonly description: TableDescription | undefined;
  /** Undefined where no worker answered. */
  readonly status: TableStatus | undefined;
  readonly url: string | null;
}

/** Tasks that end by themselves, and say what they are at. */
const DOING: readonly Task[] = ['prepare', COPY_STAGE, 'configure', 'remove', ...CHANGE_TASKS];

/** Puts together what the ledger, Temporal and the workflow know of a table. */
export function composeTable({ title, workflowId, backlog, description, status, url }: KnownTable): TableView {
  const pending = description?.pending ?? [];
  const route = backlog?.table.route;
  const transport = route && kafkaOf(route);
  const target = route?.loaders[0]?.target;
  const stages = backlog === undefined ? [] : stageViews(backlog, pending);
  const copy = backlog?.stages[COPY_STAGE];
  // The ledger knows first: the workflow learns it with the receipt.
  const copied = (copy?.batch ?? 0) > 0 || (route !== undefined && !hasCopy(route));
  const copiedRows = copied
    ? // A workflow that was started again has copied nothing.
      Math.max(copy?.rows ?? 0, status?.copied?.rows ?? 0)
    : (pending.find(({ task }) => task === COPY_STAGE)?.progress?.rows ?? copy?.copy?.rows);
  return {
    table: title,
    workflowId,
    phase: description?.running === true ? (status?.phase ?? description.phase ?? 'unknown') : 'stopped',
    answering: status !== undefined,
    running: pending.map(({ task }) => task),
    doing: DOING.map((task) => pending.find((each) => each.task === task)?.progress).find(Boolean)?.moved ?? null,
    target: target === undefined ? null : `${target.database}.${target.table}`,
    renamedTo: backlog?.table.source === undefined ? null : sqlName(backlog.table.source),
    way: route === undefined ? null : describeRoute(route),
    topic: transport?.topic ?? null,
    format: transport?.format ?? null,
    key: backlog?.table.key ?? null,
    columns: backlog === undefined ? null : describeChoices(backlog.table),
    where: (backlog && filterSql(backlog.table)) ?? null,
    stored: describeLayout(route?.loaders[0]?.layout),
    estimatedRows: status?.prepared?.estimatedRows ?? null,
    schemaChange: schemaChangeOf(backlog),
    copiedRows: copiedRows ?? 0,
    copy: copied ? null : (copy?.copy ?? null),
    priority: status?.priority ?? null,
    copied,
    stages,
    loaders: backlog === undefined ? [] : loaderViews(backlog, stages, status?.loaderPauses),
    replays: (status?.replays ?? []).map((replay) => replayView(replay, pending, status, backlog)),
    backfills: (status?.backfills ?? []).map((backfill) => backfillView(backfill, pending, backlog)),
    kept: route === undefined ? [] : keptBy(route),
    slot: backlog?.slot ?? null,
    quarantined: backlog?.quarantined ?? 0,
    loadedRows: (route && backlog?.stages[deliveryStage(route, route.loaders[0]?.name)]?.rows) ?? 0,
    waiting: sumOf(stages.map(({ waiting }) => waiting)),
    lagSeconds: oldestOf(stages),
    paused: status?.paused ?? null,
    failure: failingTaskOf(workflowId, title, status, description) ?? failureOf(backlog, pending, status, description),
    change: changeView(status),
    refused: refusedView(status),
    ignored: status?.ignored ?? null,
    url,
  };
}

/** The ledger knows what it has moved, also in slices of a worker that was killed; the running slice knows what is left. */
function replayView(
  { stage, status: state, start, end, target, loader, at, endedAt, copied }: Replay,
  pending: readonly PendingTask[],
  status: TableStatus | undefined,
  backlog: TableBacklog | undefined,
): ReplayView {
  const known = backlog?.replays?.find((each) => each.stage === stage);
  const totals = status?.stages[stage];
  const now = pending.find(({ task }) => task === stage)?.progress;
  const waiting = state === 'running' ? (now?.waiting ?? totals?.waiting ?? null) : 0;
  const copy = pending.find(({ task }) => task === copyStage(replayName(stage)))?.progress;
  const rows = (copied ?? copy?.rows ?? 0) + (known?.rows ?? totals?.rows ?? 0);
  return { id: stage, status: state, start, end, target, loader, at, endedAt, rows, waiting };
}

function backfillView(
  { stage, status, terms, target, loader, at, endedAt, copy }: Backfill,
  pending: readonly PendingTask[],
  backlog: TableBacklog | undefined,
): BackfillView {
  const pace = status === 'running' ? (backlog?.backfills?.[stage] ?? null) : null;
  const now = pending.find(({ task }) => task === stage)?.progress;
  const rows = now?.rows ?? pace?.rows ?? copy?.rows ?? 0;
  const [pruned, doing] = [copy?.pruned ?? 0, now?.moved ?? null];
  return { id: stage, status, terms, target, loader, at, endedAt, rows, pruned, copy: pace, doing };
}

/** The ledger has it before the slice that noted it has ended. */
function schemaChangeOf(backlog: TableBacklog | undefined): ShapeChange | null {
  const newest = backlog === undefined ? undefined : laterShapes(backlog.table).at(-1);
  if (newest === undefined) return null;
  const { shape, class: kind, change, notedAt } = newest;
  return { shape, class: kind, change, notedAt };
}

function hasCopy(route: Route): boolean {
  return stagesOf(route).some(({ id }) => id === COPY_STAGE);
}

function stageViews({ table, stages }: TableBacklog, pending: readonly PendingTask[]): readonly StageView[] {
  return stagesOf(table.route).flatMap(({ id, queue }) => {
    const backlog = stages[id];
    if (backlog === undefined) return [];
    const task = pending.find((each) => each.task === id);
    // What waits in a topic of others, only the slice that reads it knows.
    const seen = inputOf(id) === 'topic' ? (task?.progress?.waiting ?? null) : null;
    const waiting = backlog.waiting ?? seen;
    return [
      {
        id,
        queue,
        rows: backlog.rows,
        waiting,
        errors: errorsOf(table.route, id, backlog),
        waitingIn: waitingPlace(table.route, id),
        lagSeconds: lagOf({ ...backlog, waiting }, task),
        lastBatchAt: new Date(backlog.lastBatchAt * 1_000).toISOString(),
        running: task !== undefined,
      },
    ];
  });
}

function errorsOf(route: Route, stage: StageId, { errors }: StageBacklog): StageView['errors'] {
  const loader = route.loaders.find(({ name }) => name === loaderOf(stage));
  if (errors === null || loader === undefined) return null;
  return { messages: errors, table: engineNames(loader.target).shown.errors };
}

/**
 * How old the oldest change is that waits: since its batch was named, as the ledger has it, or as the running slice has seen.
 * Null where changes wait and neither knows: an attempt that has just begun, or none at all.
 */
function lagOf({ waiting, namedFor }: StageBacklog, task: PendingTask | undefined): number | null {
  if (waiting === null) return null;
  if (waiting === 0) return 0;
  const { progress, heardAgo } = task ?? {};
  // What came after a heartbeat that knew of nothing is younger than that heartbeat.
  const seen = progress === undefined ? 0 : progress.lagSeconds > 0 ? progress.lagSeconds : (heardAgo ?? 0);
  const age = Math.max(namedFor ?? 0, seen);
  return age > 0 ? age : null;
}

function sumOf(numbers: readonly (number | null)[]): number | null {
  const known = numbers.filter((number) => number !== null);
  return known.length === 0 ? null : known.reduce((sum, number) => sum + number, 0);
}

/** An age that is known is a lower bound; no age is known for sure to be 0 while another is not known. */
function oldestOf(stages: readonly StageView[]): number | null {
  const lags = stages.filter(({ id }) => inputOf(id) !== 'table').map(({ lagSeconds }) => lagSeconds);
  const oldest = Math.max(0, ...lags.filter((lag) => lag !== null));
  return lags.length === 0 || (oldest === 0 && lags.includes(null)) ? null : oldest;
}

/** Workers cannot go on with the workflow. The ledger has all that it knew of positions. */
function failingTaskOf(
  workflowId: string,
  title: string,
  status: TableStatus | undefined,
  description: TableDescription | undefined,
): FailureView | null {
  const attempt = description?.failingTask;
  if (description === undefined || attempt === undefined || status !== undefined) return null;
  return {
    task: null,
    kind: 'Unexpected',
    message: `Its workflow stands still: workers have failed its task ${attempt} times. Their logs say why: "failing workflow task".`,
    remedy:
      `Start the version of the workers that ran before, if they were upgraded. Otherwise run ` +
      `${temporalCommand(`workflow terminate --workflow-id ${shellWord(workflowId)}`, description.namespace)}, then pg2click add ${shellWord(title)}: it goes on where it stands. Report it.`,
    since: null,
    retrying: true,
    attempt,
    worker: null,
  };
}

/** A park first; then what is being retried right now. */
function failureOf(
  backlog: TableBacklog | undefined,
  pending: readonly PendingTask[],
  status: TableStatus | undefined,
  description: TableDescription | undefined,
): FailureView | null {
  const park = status?.parks[0];
  if (park !== undefined) {
    const { where, kind, message, remedy, since, worker = null } = park;
    return { task: where, kind, message, remedy, since, retrying: false, attempt: null, worker };
  }
  const retried = pending.find(
    (each) => each.failure !== undefined && each.attempt > 1 && !hasRecovered(each, backlog?.stages[each.task]),
  );
  if (retried?.failure !== undefined)
    return { task: retried.task, ...retried.failure, since: null, retrying: true, attempt: retried.attempt };
  const kind = status === undefined && description?.running === true ? description.failureKind : undefined;
  if (kind === undefined) return null;
  return {
    task: null,
    kind,
    message: 'The workflow has the details; a worker is needed to read them.',
    remedy: policyOf(kind).remedy,
    since: null,
    retrying: description?.phase !== 'parked',
    attempt: null,
    worker: null,
  };
}

/**
 * Whether the attempt that runs is past what ended the one before it, which Temporal shows until a slice ends: ten minutes of a
 * table that idles. A heartbeat alone proves that a worker runs, which is enough only where one was lost. Otherwise the attempt
 * has confirmed a batch since, or found that none is in hand; one of a copy has rows in flight.
 */
function hasRecovered({ alive, failure, progress, task }: PendingTask, backlog: StageBacklog | undefined): boolean {
  if (!alive) return false;
  if (failure?.kind === 'WorkerLost') return true;
  if (progress === undefined) return false;
  if (inputOf(task) === 'table') return progress.batches > 0 || progress.rows > (progress.copy?.rows ?? 0);
  return progress.batches > 0 || (backlog !== undefined && backlog.namedFor === null);
}
