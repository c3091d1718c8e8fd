import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SmallBatchThrottle } from '../../src/pipeline/small-batch-throttle.js';

describe('tables that make small batches', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => vi.useRealTimers());
  const members = (count: number): object[] => Array.from({ length: count }, () => ({}));
  const settled = (throttle: SmallBatchThrottle, all: readonly object[], tookMs: number): number => {
    for (let round = 0; round < 50; round += 1) for (const member of all) throttle.record(member, tookMs);
    return throttle.intervalMs();
  };

  it('does not delay one alone, however long its batches take', () => {
    expect(settled(new SmallBatchThrottle(200), members(1), 400)).toBe(5);
  });

  it('holds them apart by their number and by how long their batches take, half a second at most', () => {
    expect(settled(new SmallBatchThrottle(200), members(11), 10)).toBeCloseTo(55);
    expect(settled(new SmallBatchThrottle(200), members(11), 50)).toBeCloseTo(150);
    expect(settled(new SmallBatchThrottle(200), members(21), 50)).toBeCloseTo(300);
    expect(settled(new SmallBatchThrottle(200), members(21), 5_000)).toBe(500);
  });

  it('delays less as soon as batches are quick again, and forgets a table after a second without one', () => {
    const throttle = new SmallBatchThrottle(200);
    const all = members(11);
    settled(throttle, all, 100);
    expect(settled(throttle, all, 10)).toBeCloseTo(55);
    vi.setSystemTime(Date.now() + 900);
    throttle.record(all[0] ?? {}, 10);
    vi.setSystemTime(Date.now() + 200);
    expect(throttle.intervalMs()).toBe(5);
    vi.setSystemTime(Date.now() + 2_000);
    expect(throttle.intervalMs()).toBe(0);
  });
});
