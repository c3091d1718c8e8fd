import { Chalk } from 'chalk';
import { describe, expect, it } from 'vitest';
import type { Comparison } from '../../dev/compare/compare.js';
import { percentile, summarise } from '../../dev/demo/percentile.js';
import { composeResult, resultLines, type Observations } from '../../dev/demo/result.js';

const PLAIN = new Chalk({ level: 0 });

function comparison(changes: Partial<Comparison> = {}): Comparison {
  const counts = { source: 5, target: 5, equal: 5, missing: 0, extra: 0, changed: 0 };
  return { table: 'public.flights', ...counts, differences: [], elapsedMs: 1, ...changes };
}

function seen(comparisons: readonly Comparison[], more: Partial<Observations> = {}): Observations {
  return {
    comparisons,
    firstLoad: { rows: 100, seconds: 2 },
    live: { totals: { transactions: 3, changes: 30, rolledBack: 1, refused: 0, broken: 0 }, seconds: 10 },
    faults: [],
    quietAfterSeconds: 1.26,
    samples: [],
    calmUntil: 10_000,
    elapsedSeconds: 60,
    ...more,
  };
}

describe('the verdict of the demo', () => {
  it('is the last line, with all rows of all tables, when every row is equal', () => {
    const result = composeResult(seen([comparison(), comparison({ table: 'public.gates' })]));
    expect(result.verified).toBe(true);
    expect(resultLines(result, PLAIN).at(-1)).toBe('verified: 10 rows equal in PostgreSQL and ClickHouse');
  });

  it.each<[string, Partial<Comparison>]>([
    ['a missing row', { target: 4, equal: 4, missing: 1 }],
    ['an extra row', { target: 6, extra: 1 }],
    ['a changed row', { equal: 4, changed: 1 }],
    ['rows that were never compared', { equal: 4 }],
  ])('is not given with %s in one of the tables', (_what, counts) => {
    const result = composeResult(seen([comparison(), comparison(counts)]));
    expect(result.verified).toBe(false);
    expect(resultLines(result, PLAIN).join('\n')).not.toContain('verified');
  });

  it('is not given when nothing was compared', () => {
    expect(composeResult(seen([])).verified).toBe(false);
  });

  it('names the keys that differ, and no values', () => {
    const differences = [{ kind: 'changed' as const, key: '(7, a\nb)' }];
    const result = composeResult(seen([comparison({ equal: 4, changed: 1, differences })]));
    expect(resultLines(result, PLAIN).slice(-2)).toEqual([
      'NOT EQUAL: public.flights has 0 rows missing in ClickHouse, 0 there that should not be, 1 with other values',
      '  changed "(7, a\\nb)"',
    ]);
  });
});

describe('the latencies', () => {
  it('are called undisturbed by when the row was written, up to a second before the first fault', () => {
    const samples = [
      { committedAt: 1_000, seenAt: 1_040 },
      { committedAt: 8_999, seenAt: 20_000 },
      { committedAt: 9_001, seenAt: 9_010 },
      { committedAt: 12_000, seenAt: 12_500 },
    ];
    const { latencyMs } = composeResult(seen([comparison()], { samples }));
    expect(latencyMs.calm).toEqual({ samples: 2, p50: 40, p99: 11_001, max: 11_001 });
    expect(latencyMs.all).toEqual({ samples: 4, p50: 40, p99: 11_001, max: 11_001 });
  });

  it('have percentiles by nearest rank', () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentile(values, 0.5)).toBe(50);
    expect(percentile(values, 0.99)).toBe(99);
    expect(percentile(values, 1)).toBe(100);
    expect(percentile([3], 0.5)).toBe(3);
    expect(summarise([])).toEqual({ samples: 0, p50: null, p99: null, max: null });
  });
});
