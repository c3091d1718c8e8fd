import { describe, expect, it } from 'vitest';
import { Semaphore } from '../../src/connect/semaphore.js';

const NEVER = new AbortController().signal;

describe('a semaphore', () => {
  it('lets as many in as it has places, and the others in the order in which they came', async () => {
    const semaphore = new Semaphore(2);
    const entered: number[] = [];
    const inside = await Promise.all([semaphore.acquire({ signal: NEVER }), semaphore.acquire({ signal: NEVER })]);
    const waiting = [1, 2, 3].map(async (name) => {
      const place = await semaphore.acquire({ signal: NEVER });
      entered.push(name);
      return place;
    });
    await new Promise(setImmediate);
    expect(entered).toEqual([]);
    inside[0]?.[Symbol.dispose]();
    await new Promise(setImmediate);
    expect(entered).toEqual([1]);
    inside[0]?.[Symbol.dispose]();
    await new Promise(setImmediate);
    expect(entered).toEqual([1]);
    inside[1]?.[Symbol.dispose]();
    (await waiting[0])?.[Symbol.dispose]();
    await Promise.all(waiting);
    expect(entered).toEqual([1, 2, 3]);
  });

  it('lets those of a lower rank in first, and equal ones in the order in which they came', async () => {
    const semaphore = new Semaphore(1);
    const place = await semaphore.acquire({ signal: NEVER });
    const ranks = [[1, 500], [1, 7], [2, 0], [0, 900], [1, 7], []];
    const entered: number[] = [];
    const waiting = ranks.map(async (rank, index) => {
      using _ = await semaphore.acquire({ signal: NEVER, rank });
      entered.push(index);
    });
    expect(semaphore.hasWaiting(([first = 0]) => first > 1)).toBe(true);
    expect(semaphore.hasWaiting(([first = 0]) => first > 2)).toBe(false);
    place[Symbol.dispose]();
    await Promise.all(waiting);
    expect(entered).toEqual([5, 3, 1, 4, 0, 2]);
  });

  it('tells how many are ahead, and lets go of one who gives up', async () => {
    const semaphore = new Semaphore(1);
    const place = await semaphore.acquire({ signal: NEVER });
    const told: number[] = [];
    const tired = new AbortController();
    const first = semaphore.acquire({ signal: tired.signal, onWait: (ahead) => told.push(ahead) });
    const second = semaphore.acquire({ signal: NEVER, onWait: (ahead) => told.push(ahead) });
    expect(told).toEqual([0, 1]);
    tired.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    place[Symbol.dispose]();
    await expect(second).resolves.toBeDefined();
  });
});
