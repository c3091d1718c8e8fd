import type { IdRange } from '../../domain/batch.js';

/** Whole numbers from `first` to `last`, both included. */
export interface IdRun {
  readonly first: bigint;
  readonly last: bigint;
}

/** @throws RangeError: ranges are text of the ledger's, and become SQL */
export function readRuns(ids: readonly IdRange[]): IdRun[] {
  return ids.map(([first, last]) => ({ first: readId(first), last: readId(last) }));
}

/** @throws RangeError for anything but digits */
export function readId(text: string): bigint {
  if (!/^\d+$/u.test(text)) throw new RangeError(`an id is a whole number, not ${text}`);
  return BigInt(text);
}

export function toRanges(runs: readonly IdRun[]): IdRange[] {
  return runs.map(({ first, last }) => [String(first), String(last)]);
}

export function countIds(runs: readonly IdRun[]): bigint {
  return runs.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
}

/**
 * What is left of `from` without `without`. Each is in ascending order, and its runs do not overlap.
 * @returns in ascending order; each piece keeps what else its run of `from` has
 */
export function subtractRuns<Run extends IdRun>(from: readonly Run[], without: readonly IdRun[]): Run[] {
  const left: Run[] = [];
  let at = 0;
  for (const run of from) {
    let { first } = run;
    while ((without[at]?.last ?? run.last) < first) at += 1;
    for (let next = at; first <= run.last; next += 1) {
      const hole = without[next];
      if (hole === undefined || hole.first > run.last) {
        left.push({ ...run, first });
        break;
      }
      if (hole.first > first) left.push({ ...run, first, last: hole.first - 1n });
      if (hole.last >= first) first = hole.last + 1n;
    }
  }
  return left;
}
