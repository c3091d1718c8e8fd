import { createClient } from '@clickhouse/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SmallBatchThrottle } from '../../src/pipeline/small-batch-throttle.js';
import { InsertThrottle, SMALL_INSERTS_A_SECOND } from '../../src/clickhouse/insert-throttle.js';

/** Small inserts keep their distance; the more tables make them, the more. */
describe('the budget of inserts', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => vi.useRealTimers());
  const client = createClient({ url: 'http://nobody.invalid' });
  const open = (crowd: SmallBatchThrottle, table: string): InsertThrottle =>
    new InsertThrottle(client, { database: 'd', table }, crowd);

  it('lets a few small inserts go at once after a quiet moment, and then 50 a second', () => {
    const budget = open(new SmallBatchThrottle(SMALL_INSERTS_A_SECOND), 't');
    const startedAt = Date.now();
    for (let insert = 0; insert < 15; insert += 1) {
      budget.begin();
      budget.loaded(1);
      vi.setSystemTime(Date.now() + budget.leftMs());
    }
    expect(Date.now() - startedAt).toBe(200);
  });

  it('waits for a large insert while rows come in by the ten thousand a second, half a second at most', () => {
    const budget = open(new SmallBatchThrottle(SMALL_INSERTS_A_SECOND), 't');
    const leftAfter = (rows: number, everyMs: number): number => {
      vi.setSystemTime(Date.now() + everyMs);
      budget.begin();
      budget.loaded(rows);
      return budget.leftMs();
    };
    leftAfter(1_000, 1_000);
    expect(leftAfter(5_000, 100)).toBe(400);
    expect(leftAfter(2_500, 100)).toBe(500);
    expect(leftAfter(20_000, 500)).toBe(0);
    expect(leftAfter(1_900, 100)).toBe(0);
  });

  it('keeps small inserts further apart in a crowd, and counts a table as one of it', () => {
    const crowd = new SmallBatchThrottle(SMALL_INSERTS_A_SECOND);
    const budgets = Array.from({ length: 20 }, (_, table) => open(crowd, `t${table}`));
    for (const budget of budgets) {
      budget.begin();
      budget.loaded(1);
    }
    expect(crowd.intervalMs()).toBe(100);
    const [one] = budgets;
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
    const crowd = new SmallBatchThrottle(SMALL_INSERTS_A_SECOND);
    open(crowd, 'large').loaded(50_000);
    expect(crowd.intervalMs()).toBe(0);
  });
});
