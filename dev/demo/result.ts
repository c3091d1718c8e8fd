import type { ChalkInstance } from 'chalk';
import { isEqual, type Comparison } from '../compare/compare.js';
import { number } from './live-block.js';
import { summarise, type LatencySummary } from './percentile.js';
import type { ProbeSample } from './probe.js';
import type { WriterTotals } from './writer.js';

/** What a demo found; the shape that `--json` prints. */
export interface DemoResult {
  readonly verified: boolean;
  /** Rows that are the same on both sides, of all tables. */
  readonly rows: number;
  readonly tables: readonly Comparison[];
  /** From adding the tables to equal counts: workflows, triggers, topics and targets are in it. */
  readonly firstLoad: { readonly rows: number; readonly seconds: number; readonly rowsPerSecond: number };
  readonly live: WriterTotals & { readonly seconds: number; readonly changesPerSecond: number };
  /** What was done to it, in seconds of the live phase. */
  readonly faults: readonly { readonly at: number; readonly what: string }[];
  /** From the writer's end until nothing was under way. */
  readonly quietAfterSeconds: number;
  /** Commit -> queryable, milliseconds: before the first fault, and of all probes, those of the faults too. */
  readonly latencyMs: { readonly calm: LatencySummary; readonly all: LatencySummary };
  readonly elapsedSeconds: number;
}

const CALM_MARGIN_MS = 1_000;

export interface Observations {
  readonly comparisons: readonly Comparison[];
  readonly firstLoad: { readonly rows: number; readonly seconds: number };
  readonly live: { readonly totals: WriterTotals; readonly seconds: number };
  readonly faults: DemoResult['faults'];
  readonly quietAfterSeconds: number;
  readonly samples: readonly ProbeSample[];
  /** When the first fault came, on the clock of the samples. */
  readonly calmUntil: number;
  readonly elapsedSeconds: number;
}

export function composeResult(seen: Observations): DemoResult {
  const latency = (samples: readonly ProbeSample[]): LatencySummary =>
    summarise(samples.map(({ committedAt, seenAt }) => seenAt - committedAt));
  const { firstLoad, live } = seen;
  return {
    verified: seen.comparisons.length > 0 && seen.comparisons.every(isEqual),
    rows: seen.comparisons.reduce((sum, { equal }) => sum + equal, 0),
    tables: seen.comparisons,
    firstLoad: {
      rows: firstLoad.rows,
      seconds: tenths(firstLoad.seconds),
      rowsPerSecond: Math.round(firstLoad.rows / firstLoad.seconds),
    },
    live: {
      ...live.totals,
      seconds: tenths(live.seconds),
      changesPerSecond: Math.round(live.totals.changes / live.seconds),
    },
    faults: seen.faults,
    quietAfterSeconds: tenths(seen.quietAfterSeconds),
    latencyMs: {
      // Chosen by when they were written, never by how long they took; the last second before the fault may feel it.
      calm: latency(seen.samples.filter(({ committedAt }) => committedAt < seen.calmUntil - CALM_MARGIN_MS)),
      all: latency(seen.samples),
    },
    elapsedSeconds: tenths(seen.elapsedSeconds),
  };
}

/** The lines at the end, the last of them the verdict. */
export function resultLines(result: DemoResult, paint: ChalkInstance): readonly string[] {
  const { firstLoad, live, latencyMs } = result;
  const line = (label: string, text: string): string => `  ${paint.dim(label.padEnd(37))}${text}`;
  const latency = ({ samples, p50, p99 }: LatencySummary): string =>
    `p50 ${milliseconds(p50)}, p99 ${milliseconds(p99)} (${number(samples)} probes)`;
  return [
    '',
    line(
      'first load',
      `${number(firstLoad.rowsPerSecond)} rows/s: ${number(firstLoad.rows)} rows in ${firstLoad.seconds} s`,
    ),
    line(
      'live',
      `${number(live.changesPerSecond)} changes/s: ${number(live.changes)} in ${number(live.transactions)} transactions, ${number(live.rolledBack)} rolled back`,
    ),
    line('commit -> queryable, undisturbed', latency(latencyMs.calm)),
    line('commit -> queryable, with all faults', latency(latencyMs.all)),
    line('quiet after the last write', `${result.quietAfterSeconds} s`),
    line('rows compared', result.tables.map(({ table, source }) => `${table} ${number(source)}`).join(', ')),
    '',
    ...verdict(result, paint),
  ];
}

function verdict(result: DemoResult, paint: ChalkInstance): string[] {
  if (result.verified) {
    return [paint.green.bold(`verified: ${number(result.rows)} rows equal in PostgreSQL and ClickHouse`)];
  }
  return result.tables
    .filter((table) => !isEqual(table))
    .flatMap(({ table, missing, extra, changed, differences }) => [
      paint.red.bold(
        `NOT EQUAL: ${table} has ${number(missing)} rows missing in ClickHouse, ${number(extra)} there that should not be, ${number(changed)} with other values`,
      ),
      ...differences.map(({ kind, key }) => paint.red(`  ${kind} ${JSON.stringify(key)}`)),
    ]);
}

function milliseconds(value: number | null): string {
  if (value === null) return '-';
  return value < 1_000 ? `${Math.round(value)} ms` : `${(value / 1_000).toFixed(1)} s`;
}

function tenths(value: number): number {
  return Math.round(value * 10) / 10;
}
