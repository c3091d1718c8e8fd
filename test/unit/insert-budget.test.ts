import { createClient } from '@clickhouse/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { InsertBudget, InsertCrowd } from '../../src/sink/budget.js';

/** Small inserts keep their distance; the more tables make them, the more. */
describe('the budget of inserts', () => {
  beforeEach(() => vi.useFakeTimers({ toFake: ['Date'] }));
  afterEach(() => vi.useRealTimers());
  const client = createClient({ url: 'http://nobody.invalid' });
  const open = (crowd: InsertCrowd, table: string): InsertBudget =>
    new InsertBudget(client, { database: 'd', table }, crowd);

  it('is 5 ms for each table that made a small insert in the last second', () => {
    const crowd = new InsertCrowd();
    const budgets = Array.from({ length: 20 }, (_, table) => open(crowd, `t${table}`));
    for (const budget of budgets) budget.loaded(1);
    expect(crowd.apartMs()).toBe(100);
    budgets[0]?.loaded(1);
    expect(crowd.apartMs()).toBe(100);
    vi.setSystemTime(Date.now() + 900);
    budgets[1]?.loaded(1);
    vi.setSystemTime(Date.now() + 200);
    expect(crowd.apartMs()).toBe(5);
    vi.setSystemTime(Date.now() + 1_000);
    expect(crowd.apartMs()).toBe(0);
  });

  it('does not count large inserts', () => {
    const crowd = new InsertCrowd();
    open(crowd, 'large').loaded(50_000);
    expect(crowd.apartMs()).toBe(0);
  });
});
