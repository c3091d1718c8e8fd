/** The value that a share of all does not exceed (nearest rank); undefined of nothing. */
export function percentile(values: readonly number[], share: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}

export interface LatencySummary {
  readonly samples: number;
  /** Milliseconds, to a tenth. */
  readonly p50: number | null;
  readonly p99: number | null;
  readonly max: number | null;
}

export function summarise(latenciesMs: readonly number[]): LatencySummary {
  const at = (share: number): number | null => {
    const value = percentile(latenciesMs, share);
    return value === undefined ? null : Math.round(value * 10) / 10;
  };
  return { samples: latenciesMs.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}
