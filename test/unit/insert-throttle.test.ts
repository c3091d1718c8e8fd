import { createClient } from '@clickhouse/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SmallBatchThrottle } from '../../src/pipeline/small-batch-throttle.js';
import { InsertThrottle, SMALL_INSERTS_A_SECOND } from '../../src/clickhouse/insert-throttle.js';

/** Small inserts keep their distance; the more tables make them, the more. */
describe('the throttle of inserts', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => vi.useRealTimers());
  const client = createClient({ url: 'http://nobody.invalid' });
  const open = (shared: SmallBatchThrottle, table: string): InsertThrottle =>
    new InsertThrottle(client, { database: 'd', table }, shared);

  it('lets a few small inserts go at once after a quiet moment, and then 50 a second', () => {
    const throttle = open(new SmallBatchThrottle(SMALL_INSERTS_A_SECOND), 't');
    const startedAt = Date.now();
    for (let insert = 0; insert < 15; insert += 1) {
      throttle.begin();
      throttle.loaded(1);
      vi.setSystemTime(Date.now() + throttle.leftMs());
    }
    expect(Date.now() - startedAt).toBe(200);
  });

  it('waits for a large insert while rows come in by the ten thousand a second, half a second at most', () => {
    const throttle = open(new SmallBatchThrottle(SMALL_INSERTS_A_SECOND), 't');
    const leftAfter = (rows: number, everyMs: number): number => {
      vi.setSystemTime(Date.now() + everyMs);
      throttle.begin();
      throttle.loaded(rows);
      return throttle.leftMs();
    };
    leftAfter(1_000, 1_000);
    expect(leftAfter(5_000, 100)).toBe(400);
    expect(leftAfter(2_500, 100)).toBe(500);
    expect(leftAfter(20_000, 500)).toBe(0);
    expect(leftAfter(1_900, 100)).toBe(0);
  });

  it('does not wait after a batch of wide rows, which is as large as the source makes one', () => {
    const throttle = open(new SmallBatchThrottle(SMALL_INSERTS_A_SECOND), 't');
    const leftAfter = (bytes: number): number => {
      vi.setSystemTime(Date.now() + 100);
      throttle.begin();
      throttle.loaded(5_000, bytes);
      return throttle.leftMs();
    };
    leftAfter(8_000_000);
    expect(leftAfter(8_000_000)).toBe(0);
    expect(leftAfter(500_000)).toBe(400);
  });

  it('keeps small inserts further apart while many tables make them, and counts each table once', () => {
    const shared = new SmallBatchThrottle(SMALL_INSERTS_A_SECOND);
    const throttles = Array.from({ length: 20 }, (_, table) => open(shared, `t${table}`));
    for (const throttle of throttles) {
      throttle.begin();
      throttle.loaded(1);
    }
    expect(shared.intervalMs()).toBe(100);
    const [one] = throttles;
    for (let insert = 0; insert < 5; insert += 1) {
      one?.begin();
      one?.loaded(1);
      vi.setSystemTime(Date.now() + (one?.leftMs() ?? 0));
    }
    expect(one?.leftMs()).toBe(0);
    one?.begin();
    one?.loaded(1);
    expect(one?.leftMs()).toBe(100);
  });

  it('does not count large inserts', () => {
    const shared = new SmallBatchThrottle(SMALL_INSERTS_A_SECOND);
    open(shared, 'large').loaded(50_000);
    expect(shared.intervalMs()).toBe(0);
  });
});
