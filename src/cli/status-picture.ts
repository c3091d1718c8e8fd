import { copyCell, copyLine, waitOf } from './copy-picture.js';
import chalk from 'chalk';
import stringWidth from 'string-width';
import type { PipelineView, StageView, TableView } from '../control/table-view.js';
import { missingQueues, type Workers } from '../control/workers.js';
import { DEFAULT_PRIORITY } from '../domain/copy-priority.js';
import { COPY_STAGE } from '../domain/route.js';
import type { ShapeChange } from '../domain/shape.js';
import { count, duration, plural } from '../domain/figures.js';
import { slotText } from './slot-text.js';
import { isWorkedOn, sortedByTrouble } from './trouble.js';
import { troubleOf } from './trouble-text.js';
import { inShell } from '../domain/table-name.js';
import { loadStage, MAIN_LOADER, PUBLISH_STAGE } from '../domain/route.js';
import { backfillFacts, keptFacts, loaderFacts, replayFacts } from './loader-picture.js';

/**
 * The tables of a view, one line each; those in trouble first, and what it is below each.
 * @param context `before`: the view before, for rates; `all`: how many tables there are, where only some are shown
 */
export function drawPipeline(
  view: PipelineView,
  { before, all = view.tables.length }: { readonly before?: PipelineView | undefined; readonly all?: number } = {},
): string {
  const whose = view.deployment === null ? '' : `, deployment ${view.deployment}`;
  const head = `${chalk.bold('pg2click')}  pipeline ${view.pipeline}${whose}, ${shownOf(view, all)}, at ${clock(view)}`;
  if (all === 0) return [head, '', '  Nothing is replicated yet: pg2click add TABLE', ...outageText(view)].join('\n');
  if (view.tables.length === 0) return [head, '', '  No table is as you asked.', ...outageText(view)].join('\n');
  const titles = ['table', 'phase', 'copied', 'changes', 'waiting', 'lag', 'target'].map((title) => chalk.dim(title));
  const tables = sortedByTrouble(view);
  const rows = tables.map((table) => cellsOf(table, view.workers, rateOf(table, view, before)));
  const lines = alignColumns([titles, ...rows]);
  const body = tables.flatMap((table, index) => [
    lines[index + 1] ?? '',
    ...[...waitText(table), ...troubleOf(table)].map(indent),
  ]);
  return [head, '', indent(lines[0] ?? ''), ...body.map(indent), ...advice(view)].join('\n');
}

/** One table, with everything that is known of it. */
export function drawTable(table: TableView, view: PipelineView, before?: PipelineView): string {
  const rate = rateOf(table, view, before);
  const facts: (readonly [string, string | null])[] = [
    ['target', table.target],
    ['way', table.way],
    ['topic', table.topic === null ? null : `${table.topic} (${table.format ?? ''})`],
    ['key', table.key?.join(', ') ?? null],
    ['columns', table.columns],
    ['where', table.where],
    ['stored', table.stored],
    ['changed', table.schemaChange === null ? null : schemaText(table.schemaChange)],
    ['first load', hasFirstLoad(table) ? firstLoad(table) : null],
    ['slot', table.slot === null ? null : slotText(table.slot, growthOf(table, view, before))],
    ...moving(table).map((stage, _, all) => [stage.id, stageText(stage, feederOf(stage, all))] as const),
    ...loaderFacts(table),
    ...replayFacts(table),
    ...backfillFacts(table),
    ...keptFacts(table),
    ['loaded', rate === '' ? null : `${count(table.loadedRows)}${rate}`],
    ['lag', lag(table.lagSeconds)],
    [
      'change',
      table.change === null || table.change.waits ? null : `${table.change.what}, since ${table.change.since}`,
    ],
    ['doing', table.failure === null ? doingOf(table) : null],
    ['paused', table.paused === null ? null : `since ${table.paused.since}${reason(table.paused.reason)}`],
    [
      'ignored',
      table.ignored === null
        ? null
        : `signal ${table.ignored.name} of ${table.ignored.at}: ${chalk.yellow(table.ignored.problem)}`,
    ],
    ['Temporal', table.url ?? table.workflowId],
  ];
  const lines = facts.flatMap(([name, value]) => (value === null ? [] : [[chalk.dim(name), value]]));
  return [
    `${titleOf(table)}  ${phaseText(table, view.workers)}  ${chalk.dim(`at ${clock(view)}`)}`,
    ...alignColumns(lines, 0).map(indent),
    ...troubleOf(table).map(indent),
    ...advice(view),
  ].join('\n');
}

function schemaText({ shape, class: kind, change, notedAt }: ShapeChange): string {
  const again = kind === 'copy' ? ', so the table is read again' : '';
  return `shape ${shape} since ${notedAt}: ${change}${again}`;
}

/** The stages that never end. */
function moving({ stages }: TableView): readonly StageView[] {
  return stages.filter(({ waitingIn }) => waitingIn !== null);
}

/** What fills the topic that a stage reads. */
function feederOf({ id, errors }: StageView, all: readonly StageView[]): StageView | undefined {
  // ClickHouse's Kafka engine counts messages, those of others among them.
  if (errors !== null) return undefined;
  // A loader that was added later has not read all of it.
  return id === loadStage(MAIN_LOADER) ? all.find((each) => each.id === PUBLISH_STAGE) : undefined;
}

/** @param feeder the stage that fills what this one reads */
function stageText({ rows, waiting, waitingIn, lagSeconds }: StageView, feeder: StageView | undefined): string {
  // A batch whose sender died is sent again: the reader counts it twice, and keeps one version of each row.
  const again = feeder === undefined ? 0 : rows - feeder.rows;
  const repeats = again > 0 ? ` (${count(again)} of them sent twice, by a retry)` : '';
  const age = lagSeconds === null || lagSeconds === 0 ? '' : ` for ${duration(lagSeconds)}`;
  const waits = waiting === 1 ? 'waits' : 'wait';
  const backlog =
    waiting === null ? `what waits in ${waitingIn} is not known` : `${count(waiting)} ${waits} in ${waitingIn}${age}`;
  return `${plural(rows, 'change')}${repeats}, ${backlog}`;
}

function lag(seconds: number | null): string {
  return seconds === null ? '-' : duration(seconds);
}

function titleOf({ table, renamedTo }: TableView): string {
  const now = renamedTo === null ? '' : chalk.dim(` (now ${renamedTo} in PostgreSQL)`);
  return `${chalk.bold(inShell(table))}${now}`;
}

function cellsOf(table: TableView, workers: Workers, rate: string): string[] {
  return [
    titleOf(table),
    phaseText(table, workers),
    table.copied ? count(table.copiedRows) : copyCell(table),
    `${count(table.loadedRows)}${rate}`,
    table.waiting === null ? '-' : count(table.waiting),
    lag(table.lagSeconds),
    table.target ?? '-',
  ];
}

function phaseText(table: TableView, workers: Workers): string {
  const { phase, failure, running } = table;
  switch (phase) {
    case 'streaming':
    case 'preparing':
    case 'copying':
    case 'configuring':
      if (failure !== null) return chalk.yellow('◌ retrying');
      if (!isWorkedOn(table, workers)) return chalk.yellow(`◌ ${phase}?`);
      return phase === 'streaming' ? chalk.green('● streaming') : chalk.cyan(`◔ ${phase}`);
    case 'paused':
      return chalk.blue(running.length === 0 ? 'Ⅱ paused' : 'Ⅱ pausing');
    case 'parked':
      return chalk.red('✖ parked');
    case 'removing':
    case 'removed':
      return chalk.magenta(`− ${phase}`);
    case 'stopped':
      return chalk.red('✖ stopped');
    case 'unknown':
      return chalk.dim('? unknown');
    default:
      return phase satisfies never;
  }
}

/** What a table of which nothing streams is at: a lock that is not free is a failure only after a minute. */
function doingOf({ phase, doing }: TableView): string | null {
  return phase === 'preparing' || phase === 'configuring' || phase === 'removing' ? doing : null;
}

function waitText(table: TableView): string[] {
  const doing = table.failure === null ? doingOf(table) : null;
  return doing?.startsWith('waiting') === true ? [`  ${chalk.yellow(doing)}`] : [];
}

/** `12:30:05 UTC`, as in the logs: a picture that stands still is seen to be old. */
function clock({ at }: PipelineView): string {
  return `${at.slice(11, 19)} UTC`;
}

function shownOf({ tables }: PipelineView, all: number): string {
  return tables.length === all ? plural(all, 'table') : `${count(tables.length)} of ${plural(all, 'table')}`;
}

function outageText({ outage }: PipelineView): string[] {
  if (outage === null) return [];
  return [
    '',
    `  ${chalk.red('Phases and workers are not known')}, and figures are those of the ledger: ${outage.message}`,
    `  ${chalk.dim('→')} ${outage.remedy}`,
  ];
}

function advice(view: PipelineView): string[] {
  const { workers, tables, outage } = view;
  if (outage !== null) return outageText(view);
  const needed = tables.length === 0 ? [[]] : tables.map(({ stages }) => stages);
  const missing = [...new Set(needed.flatMap((stages) => missingQueues(workers, stages)))];
  if (missing.length > 0)
    return [
      '',
      `  ${chalk.yellow('No worker')} polls ${missing.join(', ')}: nothing moves there. Start one: pg2click worker`,
    ];
  if (tables.some((table) => !table.answering && table.phase !== 'stopped'))
    return ['', `  ${chalk.yellow('No worker answered')} in time: figures are those of the ledger and of Temporal.`];
  return [];
}

/** Of the WAL that is kept for its slot, bytes a second between two views; undefined where there is one view. */
function growthOf({ workflowId, slot }: TableView, view: PipelineView, before?: PipelineView): number | undefined {
  const earlier = before?.tables.find((each) => each.workflowId === workflowId)?.slot?.retainedBytes;
  if (before === undefined || typeof earlier !== 'number' || slot === null || slot.retainedBytes === null)
    return undefined;
  return (slot.retainedBytes - earlier) / ((Date.parse(view.at) - Date.parse(before.at)) / 1_000);
}

/** ", 12,300/s" between two views. */
function rateOf(table: TableView, view: PipelineView, before: PipelineView | undefined): string {
  const earlier = before?.tables.find((each) => each.workflowId === table.workflowId);
  if (before === undefined || earlier === undefined) return '';
  const seconds = (Date.parse(view.at) - Date.parse(before.at)) / 1_000;
  const rows = table.loadedRows - earlier.loadedRows;
  return rows > 0 && seconds > 0 ? `, ${count(rows / seconds)}/s` : '';
}

/** What only grows is read from its first row, and has none. */
function hasFirstLoad({ stages }: TableView): boolean {
  return stages.length === 0 || stages.some(({ id }) => id === COPY_STAGE);
}

function firstLoad(table: TableView): string {
  if (table.copied) return `done, ${plural(table.copiedRows, 'row')}`;
  const { priority } = table;
  const turn = priority === null || priority === DEFAULT_PRIORITY ? '' : `, ${priority} priority`;
  return `${copyLine(table)}${waitOf(table.doing)}${turn}`;
}

function reason(text: string | null): string {
  return text === null ? '' : `: ${text}`;
}

function indent(line: string): string {
  return line === '' ? '' : `  ${line}`;
}

/** Pads cells to the widest of their column; colours do not count. */
export function alignColumns(rows: readonly (readonly string[])[], rightFrom = 2): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => stringWidth(row[column] ?? ''))));
  return rows.map((row) =>
    row
      .map((cell, column) => {
        const padding = ' '.repeat((widths[column] ?? 0) - stringWidth(cell));
        const right = rightFrom > 0 && column >= rightFrom && column < row.length - 1;
        return right ? `${padding}${cell}` : `${cell}${padding}`;
      })
      .join('  ')
      .trimEnd(),
  );
}
