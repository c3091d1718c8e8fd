import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SmallBatchThrottle } from '../../src/pipeline/small-batch-throttle.js';

describe('a crowd of tables that move a trickle each', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => vi.useRealTimers());
  const members = (count: number): object[] => Array.from({ length: count }, () => ({}));
  const settled = (crowd: SmallBatchThrottle, all: readonly object[], tookMs: number): number => {
    for (let round = 0; round < 50; round += 1) for (const member of all) crowd.record(member, tookMs);
    return crowd.intervalMs();
  };

  it('does not hold up one alone, however long its batches take', () => {
    expect(settled(new SmallBatchThrottle(200), members(1), 400)).toBe(5);
  });

  it('holds them apart by their number and by how long their batches take, half a second at most', () => {
    expect(settled(new SmallBatchThrottle(200), members(11), 10)).toBeCloseTo(55);
    expect(settled(new SmallBatchThrottle(200), members(11), 50)).toBeCloseTo(150);
    expect(settled(new SmallBatchThrottle(200), members(21), 50)).toBeCloseTo(300);
    expect(settled(new SmallBatchThrottle(200), members(21), 5_000)).toBe(500);
  });

  it('lets go as soon as batches are quick again, and forgets who has not been there for a second', () => {
    const crowd = new SmallBatchThrottle(200);
    const all = members(11);
    settled(crowd, all, 100);
    expect(settled(crowd, all, 10)).toBeCloseTo(55);
    vi.setSystemTime(Date.now() + 900);
    crowd.record(all[0] ?? {}, 10);
    vi.setSystemTime(Date.now() + 200);
    expect(crowd.intervalMs()).toBe(5);
    vi.setSystemTime(Date.now() + 2_000);
    expect(crowd.intervalMs()).toBe(0);
  });
});
