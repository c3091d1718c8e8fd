import { describe, expect, it } from 'vitest';
import { GapJournal } from '../../src/source/poll/gap-journal.js';
import { subtractRuns, type IdRun } from '../../src/source/poll/id-runs.js';

const runs = (...pairs: readonly (readonly [number, number])[]): IdRun[] =>
  pairs.map(([first, last]) => ({ first: BigInt(first), last: BigInt(last) }));

describe('runs of ids', () => {
  for (const [from, without, left] of [
    [runs([1, 9]), runs(), runs([1, 9])],
    [runs([1, 9]), runs([1, 9]), runs()],
    [runs([1, 9]), runs([3, 3], [5, 6]), runs([1, 2], [4, 4], [7, 9])],
    [runs([1, 2], [5, 9]), runs([2, 5]), runs([1, 1], [6, 9])],
    [runs([1, 2], [5, 9], [12, 20]), runs([5, 12]), runs([1, 2], [13, 20])],
    [runs([5, 9]), runs([1, 4], [10, 11]), runs([5, 9])],
    [runs([1, 1], [2, 2], [3, 3]), runs([2, 2]), runs([1, 1], [3, 3])],
  ] as const)
    it(`${show(from)} without ${show(without)} are ${show(left)}`, () => {
      expect(subtractRuns(from, without)).toEqual(left);
    });

  it('are what a set of ids would be, whatever they are', () => {
    for (let seed = 1; seed < 500; seed += 1) {
      const [from, without] = [some(seed), some(seed * 7919)];
      const left = new Set(ids(from).filter((id) => !ids(without).includes(id)));
      expect(ids(subtractRuns(from, without))).toEqual([...left]);
    }
  });
});

describe('the journal of gaps', () => {
  it('gives back what it was given, across a restart', () => {
    const journal = new GapJournal();
    journal.add(runs([3, 4], [9, 9]), 5_000);
    journal.found(runs([3, 3]));
    expect(journal.ranges()).toEqual([
      ['4', '4', 5],
      ['9', '9', 5],
    ]);
    expect(new GapJournal(journal.ranges()).ranges()).toEqual(journal.ranges());
  });

  it('asks for a young gap within 20 ms, for an old one every 15 s, and for one of another process at once', () => {
    const journal = new GapJournal();
    journal.add(runs([3, 3]), 0);
    expect(journal.due(10)).toEqual([]);
    expect(journal.nextDueMs(10)).toBe(10);
    expect(journal.due(20)).toHaveLength(1);
    let asks = 0;
    for (let now = 20; now < 60_000; now += 1)
      if (journal.due(now).length > 0) {
        journal.asked(now);
        asks += 1;
      }
    expect(asks).toBeGreaterThan(10);
    expect(asks).toBeLessThan(50);
    journal.asked(600_000);
    expect(journal.nextDueMs(600_000)).toBe(15_000);
    expect(new GapJournal([['3', '3', 50]]).due(100_000)).toHaveLength(1);
  });

  it('gives up what is an hour old, and the oldest of too many, and counts both', () => {
    const journal = new GapJournal([], { old: '5', many: '0' }, { ranges: 2, ageMs: 3_600_000 });
    journal.add(runs([1, 10]), 0);
    journal.add(runs([20, 21], [30, 30], [40, 40]), 1_000);
    expect(journal.giveUp(3_600_000)).toEqual({ old: 10n, many: 2n });
    expect(journal.ranges().map(([first]) => first)).toEqual(['30', '40']);
    expect(journal.givenUp).toEqual({ old: '15', many: '2' });
  });

  it('refuses ranges that are not numbers: they become SQL', () => {
    expect(() => new GapJournal([['1', '2; drop table x', 0]])).toThrow(RangeError);
  });
});

function show(all: readonly IdRun[]): string {
  return all.length === 0 ? 'none' : all.map(({ first, last }) => `${first}..${last}`).join(' ');
}

function ids(all: readonly IdRun[]): number[] {
  return all.flatMap(({ first, last }) =>
    Array.from({ length: Number(last - first) + 1 }, (_, at) => Number(first) + at),
  );
}

function some(seed: number): IdRun[] {
  const found: IdRun[] = [];
  let [at, state] = [0, seed];
  while (at < 40) {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    const first = at + 1 + (state % 5);
    const last = first + ((state >> 8) % 6);
    found.push({ first: BigInt(first), last: BigInt(last) });
    at = last;
  }
  return found;
}
