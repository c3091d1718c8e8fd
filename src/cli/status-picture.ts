import chalk from 'chalk';
import stringWidth from 'string-width';
import type { PipelineView, TableView } from '../control/table-view.js';
import { missingQueues } from '../control/workers.js';
import { count, duration, plural, share } from './figures.js';

/** Every table of a pipeline, one line each; trouble below its table. */
export function drawPipeline(view: PipelineView, before?: PipelineView): string {
  const whose = view.deployment === null ? '' : `, deployment ${view.deployment}`;
  const head = `${chalk.bold('pg2click')}  pipeline ${view.pipeline}${whose}, ${plural(view.tables.length, 'table')}`;
  if (view.tables.length === 0) return `${head}\n\n  Nothing is replicated yet: pg2click add TABLE`;
  const titles = ['table', 'phase', 'copied', 'changes', 'waiting', 'lag', 'target'].map((title) => chalk.dim(title));
  const rows = view.tables.map((table) => cellsOf(table, rateOf(table, view, before)));
  const lines = alignColumns([titles, ...rows]);
  const body = view.tables.flatMap((table, index) => [lines[index + 1] ?? '', ...troubleOf(table).map(indent)]);
  return [head, '', indent(lines[0] ?? ''), ...body.map(indent), ...advice(view)].join('\n');
}

/** One table, with everything that is known of it. */
export function drawTable(table: TableView, view: PipelineView, before?: PipelineView): string {
  const rate = rateOf(table, view, before);
  const facts: (readonly [string, string | null])[] = [
    ['target', table.target],
    ['topic', table.topic === null ? null : `${table.topic} (${table.format ?? ''})`],
    ['key', table.key?.join(', ') ?? null],
    ['first load', firstLoad(table)],
    ['changes', `${count(table.publishedRows)} published, ${count(table.loadedRows)} loaded${rate}`],
    ['waiting', `${waiting(table.waiting.publish)} in the outbox, ${waiting(table.waiting.load)} in Kafka`],
    ['lag', table.lagSeconds === null ? null : duration(table.lagSeconds)],
    ['paused', table.paused === null ? null : `since ${table.paused.since}${reason(table.paused.reason)}`],
    ['Temporal', table.url ?? table.workflowId],
  ];
  const told = facts.flatMap(([name, value]) => (value === null ? [] : [[chalk.dim(name), value]]));
  return [
    `${chalk.bold(table.table)}  ${phaseText(table)}`,
    ...alignColumns(told, 0).map(indent),
    ...troubleOf(table).map(indent),
    ...advice(view),
  ].join('\n');
}

function cellsOf(table: TableView, rate: string): string[] {
  return [
    chalk.bold(table.table),
    phaseText(table),
    table.copied
      ? count(table.copiedRows)
      : `${count(table.copiedRows)}${share(table.copiedRows, table.estimatedRows)}`,
    `${count(table.loadedRows)}${rate}`,
    waiting(sum(table.waiting)),
    table.lagSeconds === null ? '-' : duration(table.lagSeconds),
    table.target ?? '-',
  ];
}

function phaseText({ phase, failure, running }: TableView): string {
  switch (phase) {
    case 'streaming':
      return failure === null ? chalk.green('● streaming') : chalk.yellow('◌ retrying');
    case 'preparing':
    case 'copying':
      return failure === null ? chalk.cyan(`◔ ${phase}`) : chalk.yellow('◌ retrying');
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

function troubleOf({ table, phase, failure }: TableView): string[] {
  if (phase === 'stopped' && failure === null)
    return [`  ${chalk.red('its workflow does not run')}: "pg2click add ${table}" starts it again, "remove" ends it.`];
  if (failure === null) return [];
  if (failure.task === null && !failure.retrying && failure.kind === 'Misconfigured')
    return [`  ${chalk.red(failure.message)}`, `  ${chalk.dim('→')} ${failure.remedy}`];
  const task = failure.task ?? 'it';
  const what = failure.retrying
    ? chalk.yellow(`${task} is being retried (attempt ${failure.attempt ?? '?'}, ${failure.kind})`)
    : chalk.red(
        `${failure.task} is parked (${failure.kind}${failure.since === null ? '' : `, since ${failure.since}`})`,
      );
  return [`  ${what}: ${failure.message}`, `  ${chalk.dim('→')} ${failure.remedy}`];
}

function advice({ workers, tables }: PipelineView): string[] {
  const missing = missingQueues(workers);
  if (missing.length > 0)
    return [
      '',
      `  ${chalk.yellow('No worker')} polls ${missing.join(', ')}: nothing moves there. Start one: pg2click worker`,
    ];
  if (tables.some((table) => !table.answering && table.phase !== 'stopped'))
    return ['', `  ${chalk.yellow('No worker answered')} in time: figures are those of the ledger and of Temporal.`];
  return [];
}

/** ", 12,300/s" between two looks. */
function rateOf(table: TableView, view: PipelineView, before: PipelineView | undefined): string {
  const earlier = before?.tables.find((each) => each.workflowId === table.workflowId);
  if (before === undefined || earlier === undefined) return '';
  const seconds = (Date.parse(view.at) - Date.parse(before.at)) / 1_000;
  const rows = table.loadedRows - earlier.loadedRows;
  return rows > 0 && seconds > 0 ? `, ${count(rows / seconds)}/s` : '';
}

function firstLoad(table: TableView): string {
  if (table.copied) return `done, ${plural(table.copiedRows, 'row')}`;
  return `${count(table.copiedRows)} rows${share(table.copiedRows, table.estimatedRows)}`;
}

function sum({ publish, load }: TableView['waiting']): number | null {
  return publish === null && load === null ? null : (publish ?? 0) + (load ?? 0);
}

function waiting(value: number | null): string {
  return value === null ? '-' : count(value);
}

function reason(text: string | null): string {
  return text === null ? '' : `: ${text}`;
}

function indent(line: string): string {
  return line === '' ? '' : `  ${line}`;
}

/** Pads cells to the widest of their column; colours do not count. */
function alignColumns(rows: readonly (readonly string[])[], rightFrom = 2): string[] {
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
