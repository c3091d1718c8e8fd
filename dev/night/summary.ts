import type { FiredAlert } from '../metrics/alerts.js';
import type { Park } from './attendant.js';
import type { LogKind } from './log-lines.js';
import type { NightTable } from './table.js';
import type { Verdict } from './judge.js';

/** What a night came to. What `--json` prints. */
export interface Summary {
  readonly minutes: number;
  readonly seed: number;
  readonly isEqual: boolean;
  /** Until all was equal, after the last fault. */
  readonly settledAfterSeconds: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly tables: readonly TableSummary[];
  readonly parks: readonly ParkSummary[];
  readonly alerts: readonly FiredAlert[];
  readonly log: readonly LogKind[];
  readonly logLines: number;
  /** Lines in the logs that are no JSON. */
  readonly strangeLines: readonly string[];
  readonly longestLagSeconds: { readonly table: string; readonly seconds: number };
  readonly peakMegabytes: Readonly<Record<string, number | undefined>>;
  /** What the program did not expect. */
  readonly wonders: readonly string[];
}

export interface TableSummary extends Omit<Verdict, 'table'> {
  readonly name: string;
  readonly title: string;
  /** What `status` said last. */
  readonly way: string;
  readonly transactions: number;
  readonly loaded: number;
}

export type ParkSummary = Omit<Park, 'table' | 'at' | 'tries'> & {
  readonly table: string;
  readonly title: string;
  readonly at: string;
};

/** Of the kinds of log lines, those that come most often. */
const SHOWN_KINDS = 30;

export function parkSummary({ table, at, kind, message, remedy, explained, done, healedAfter }: Park): ParkSummary {
  const { name, title } = table;
  return { table: name, title, at: at.toISOString(), kind, message, remedy, explained, done, healedAfter };
}

export function tableSummary(
  { table, ...verdict }: Verdict,
  amounts: { readonly transactions: number; readonly loaded: number },
): TableSummary {
  const { name, title, way }: NightTable = table;
  return { name, title, way, ...amounts, ...verdict };
}

export function summaryLines(summary: Summary): readonly string[] {
  const faults = Object.entries(summary.faults).toSorted(([, a], [, b]) => b - a);
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  const { tables, parks, alerts, log } = summary;
  return [
    '',
    `${summary.minutes} minutes, seed ${summary.seed}: ${sum(faults.map(([, count]) => count))} faults`,
    ...faults.map(([name, count]) => `  ${String(count).padStart(4)}  ${name}`),
    '',
    `${tables.length} tables, ${sum(tables.map(({ transactions }) => transactions))} transactions, ${sum(tables.map(({ loaded }) => loaded))} rows loaded:`,
    ...tables.map(
      ({ name, title, way, transactions, loaded, isEqual, compared, equal, difference }) =>
        `  ${isEqual ? '=' : '≠'} ${name.padEnd(7)} ${title.padEnd(44)} ${String(transactions).padStart(6)} transactions ` +
        `${String(loaded).padStart(9)} rows, ${equal} of ${compared} equal${difference === '' ? '' : `: ${difference}`}` +
        (isAsAdded(title, way) ? '' : ` (now ${way})`),
    ),
    '',
    `${parks.length} parks, ${parks.filter(({ explained }) => explained === undefined).length} without a fault that explains them:`,
    ...parks.flatMap(({ table, title, kind, explained, message, healedAfter, done }) => [
      `  ${table} (${title}) ${kind}, ${explained ?? 'UNEXPLAINED'}, ${healedAfter === undefined ? 'NOT HEALED' : `healed after ${healedAfter} s`}: ${message}`,
      ...done.map((each) => `      ${each}`),
    ]),
    '',
    `${alerts.length} alerts would have fired:`,
    ...alerts.map(
      ({ alert, severity, subject, firstAt, seconds }) =>
        `  ${severity.padEnd(9)}${alert} ${subject}, from ${firstAt.slice(11, 19)} for ${seconds} s`,
    ),
    '',
    `${summary.logLines} log lines of ${log.length} kinds (lacking table/stage/worker):`,
    ...log
      .slice(0, SHOWN_KINDS)
      .map(
        ({ count, level, message, lacking }) =>
          `  ${String(count).padStart(6)} ${level.padEnd(5)} ${message.slice(0, 110)} (${lacking.table}/${lacking.stage}/${lacking.worker})`,
      ),
    ...(summary.strangeLines.length === 0 ? [] : [`${summary.strangeLines.length} lines are no JSON:`]),
    ...summary.strangeLines.slice(0, 5).map((line) => `  ${line.slice(0, 200)}`),
    '',
    `longest lag ${summary.longestLagSeconds.seconds.toFixed(0)} s (${summary.longestLagSeconds.table}); memory ` +
      Object.entries(summary.peakMegabytes)
        .map(([name, peak]) => `${name} ${peak?.toFixed(0) ?? '?'} MB`)
        .join(', '),
    ...(summary.wonders.length === 0 ? [] : ['', `${summary.wonders.length} things that the program did not expect:`]),
    ...summary.wonders.map((wonder) => `  ${wonder}`),
    '',
    summary.isEqual
      ? `EQUAL: every row of ${tables.length} tables, ${summary.settledAfterSeconds.toFixed(0)} s after the last fault`
      : `NOT EQUAL: ${tables
          .filter(({ isEqual }) => !isEqual)
          .map(({ name }) => name)
          .join(', ')}`,
  ];
}

/** The axes of a title are the words of the way that `status` shows. */
function isAsAdded(title: string, way: string): boolean {
  const words = new Set(way.match(/[\w-]+/gu));
  const [capture = '', transport = '', , payload = '', format = ''] = title.split(' ');
  const wanted = transport === 'kafka' ? [capture, transport, payload, format] : [capture, transport];
  return way === '' || wanted.every((word) => words.has(word));
}
