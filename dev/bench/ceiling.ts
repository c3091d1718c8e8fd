import type { Timing } from './clock.js';
import type { CoreSeconds } from './usage.js';

/** What one step costs alone and bare, without ledger, names and checks, on the same servers and data. */
export interface Ceiling {
  readonly name: string;
  readonly rowsPerSecond: number;
  readonly coreSeconds: CoreSeconds;
}

export function ceilingOf(name: string, rows: number, { seconds, coreSeconds }: Timing): Ceiling {
  return { name, rowsPerSecond: Math.round(rows / seconds), coreSeconds };
}

/** A chain is no faster than its slowest link. */
export function lowest(ceilings: readonly Ceiling[]): Ceiling | undefined {
  return ceilings.toSorted((a, b) => a.rowsPerSecond - b.rowsPerSecond)[0];
}

/** Where a link can be made in two ways, the better one counts. */
export function highest(ceilings: readonly Ceiling[]): Ceiling | undefined {
  return ceilings.toSorted((a, b) => b.rowsPerSecond - a.rowsPerSecond)[0];
}

/**
 * Links that run at the same time share the cores of this machine: no faster than the work of all of them together divided
 * by the cores. As high as the links themselves where they leave cores over.
 * @param rows that each of the ceilings was measured with
 */
export function shareCores(name: string, links: readonly Ceiling[], rows: number, cores: number): Ceiling {
  const total = new Map<string, number>();
  for (const { coreSeconds } of links)
    for (const [who, seconds] of Object.entries(coreSeconds)) total.set(who, (total.get(who) ?? 0) + seconds);
  const work = [...total.values()].reduce((sum, seconds) => sum + seconds, 0);
  return {
    name,
    rowsPerSecond: work === 0 ? Infinity : Math.round((rows * cores) / work),
    coreSeconds: Object.fromEntries(total),
  };
}
