import type { Meters } from '../../src/observe/meters.js';

/** Meters that remember: gauges by their last value, counters by their sum, histograms by their last record. */
export interface SeenMetrics {
  readonly meters: Meters;
  /** @returns undefined for what was never told */
  value(name: string, labels?: Readonly<Record<string, string>>): number | undefined;
}

export function seeMetrics(): SeenMetrics {
  const seen = new Map<string, number>();
  const keyOf = (name: string, labels: Readonly<Record<string, string>>): string =>
    JSON.stringify([name, Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1))]);
  const write = (name: string, value: number, labels: Readonly<Record<string, string>>): void =>
    void seen.set(keyOf(name, labels), value);
  return {
    meters: {
      add: (name, value, labels) => write(name, (seen.get(keyOf(name, labels)) ?? 0) + value, labels),
      set: write,
      record: write,
    },
    value: (name, labels = {}) => seen.get(keyOf(name, labels)),
  };
}
