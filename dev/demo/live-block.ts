import type { ChalkInstance } from 'chalk';
import type { Gauges, WatchedTable } from './gauges.js';
import type { Probe } from './probe.js';
import type { LiveDisplay } from './screen.js';
import type { Writer } from './writer.js';

/** What the live display shows; lines come and go with the phases. */
export interface DisplayState {
  readonly tables: readonly WatchedTable[];
  readonly gauges: Gauges;
  writer?: Writer | undefined;
  probe?: Probe | undefined;
  /** What was just done to it, and what is down. */
  trouble: string;
  /** "12 s of 20". */
  clock: () => string;
}

const BARS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const HISTORY = 40;
/** The highest bar: 20 seconds. A bar is a factor, not a sum: milliseconds and seconds are both to be seen. */
const TOP_MS = 20_000;
const BOTTOM_MS = 10;
const SAMPLE_MS = 500;

export function liveDisplay(display: DisplayState): LiveDisplay {
  const lags: number[] = [];
  const rate = rateOf(() => display.writer?.totals.changes ?? 0);
  let sampledAt = 0;
  const sample = (): void => {
    if (Date.now() - sampledAt < SAMPLE_MS) return;
    sampledAt = Date.now();
    lags.push(display.probe?.lagMs() ?? 0);
    if (lags.length > HISTORY) lags.shift();
  };
  return {
    block: (paint) => {
      sample();
      return [
        ...tableLines(display, paint),
        ...writerLines(display, rate(), paint),
        ...lagLines(display, lags, paint),
        `${paint.dim(display.clock())}  ${paint.yellow(display.trouble)}`,
      ];
    },
    line: () => lineOf(display, rate()),
  };
}

function tableLines({ tables, gauges }: DisplayState, paint: ChalkInstance): string[] {
  const levels = gauges.levels();
  const head = `${''.padEnd(14)}${'PostgreSQL'.padStart(12)}${'outbox'.padStart(12)}${'ClickHouse'.padStart(14)}`;
  return [
    paint.dim(head),
    ...tables.map((table) => {
      const { source, target, outbox } = levels.get(table) ?? {};
      const there = number(target).padStart(14);
      const same = source !== undefined && source === target;
      return [
        paint.bold(table.title.padEnd(14)),
        number(source).padStart(12),
        (outbox ?? 0) > 0 ? paint.yellow(number(outbox).padStart(12)) : paint.dim(number(outbox).padStart(12)),
        target === undefined ? paint.red('down'.padStart(14)) : same ? paint.green(there) : there,
      ].join('');
    }),
  ];
}

function writerLines({ writer }: DisplayState, rate: number, paint: ChalkInstance): string[] {
  if (writer === undefined) return [];
  const { changes, transactions, rolledBack } = writer.totals;
  return [
    `${paint.bold('writer'.padEnd(14))}${number(rate)} changes/s, ${number(changes)} in ${number(transactions)} transactions, ${number(rolledBack)} rolled back`,
  ];
}

function lagLines({ probe }: DisplayState, lags: readonly number[], paint: ChalkInstance): string[] {
  if (probe === undefined) return [];
  const lag = probe.lagMs();
  const shown = lag < 1_000 ? `${Math.round(lag)} ms` : `${(lag / 1_000).toFixed(1)} s`;
  const colour = lag < 1_000 ? paint.green : lag < 5_000 ? paint.yellow : paint.red;
  return [`${paint.bold('lag'.padEnd(14))}${colour(shown.padEnd(8))} ${paint.cyan(lags.map(bar).join(''))}`];
}

function bar(lag: number): string {
  const share = Math.log(Math.max(lag, BOTTOM_MS) / BOTTOM_MS) / Math.log(TOP_MS / BOTTOM_MS);
  return BARS[Math.min(BARS.length - 1, Math.floor(share * BARS.length))] ?? '';
}

function lineOf({ tables, gauges, writer, probe, trouble, clock }: DisplayState, rate: number): string {
  const levels = [...gauges.levels().entries()].filter(([table]) => tables.includes(table)).map(([, level]) => level);
  const sum = (of: 'source' | 'target' | 'outbox'): string =>
    number(levels.reduce((all, level) => all + (level[of] ?? 0), 0));
  const parts = [`${sum('target')} of ${sum('source')} rows in ClickHouse`, `${sum('outbox')} events in the outbox`];
  if (writer !== undefined) parts.push(`${number(rate)} changes/s`);
  if (probe !== undefined) parts.push(`lag ${(probe.lagMs() / 1_000).toFixed(1)} s`);
  return `${clock()}: ${[...parts, ...(trouble === '' ? [] : [trouble])].join(', ')}`;
}

/** Of a counter, a second, over the last three seconds. */
function rateOf(counter: () => number): () => number {
  const points: { readonly at: number; readonly value: number }[] = [];
  return () => {
    const now = { at: Date.now(), value: counter() };
    points.push(now);
    while (points.length > 2 && now.at - (points[0]?.at ?? 0) > 3_000) points.shift();
    const [first = now] = points;
    return now.at === first.at ? 0 : Math.round(((now.value - first.value) * 1_000) / (now.at - first.at));
  };
}

export function number(value: number | undefined): string {
  return value === undefined ? '-' : Math.round(value).toLocaleString('en-US');
}
