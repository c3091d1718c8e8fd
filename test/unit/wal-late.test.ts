import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { HandOver } from '../../src/source/wal/rows/hand-over.js';
import { HandOvers } from '../../src/source/wal/rows/hand-overs.js';
import type { RowPlan } from '../../src/source/wal/rows/row-plan.js';
import type { TupleBatch } from '../../src/source/wal/rows/tuple-batch.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const offer = { batch: {} as TupleBatch, first: 1n, last: 1n };
const attached = (handOvers: HandOvers): HandOver => {
  const handOver = new HandOver('7', {} as RowPlan, 0n, { until: 0n, relation: 1 });
  handOvers.attach(handOver);
  return handOver;
};

it('a stage that has rows and does not confirm them in time gets none for a minute: others have waited for it', async () => {
  const handOvers = new HandOvers();
  const handOver = attached(handOvers);
  const offered = handOver.offer(offer);
  expect(handOver.take()).toBeDefined();
  expect(handOvers.isResting('7')).toBe(false);
  await vi.advanceTimersByTimeAsync(5_000);
  expect(await offered).toBe(false);
  expect(handOvers.isResting('7')).toBe(true);
  expect(handOvers.of('7')).toBeUndefined();
  await vi.advanceTimersByTimeAsync(59_000);
  expect(handOvers.isResting('7')).toBe(true);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(handOvers.isResting('7')).toBe(false);
});

it('also where its slice has ended meanwhile, and not where it was only busy', async () => {
  const handOvers = new HandOvers();
  const late = attached(handOvers);
  const offered = late.offer(offer);
  late.take();
  await vi.advanceTimersByTimeAsync(5_000);
  await offered;
  handOvers.detach(late);
  expect(handOvers.isResting('7')).toBe(true);
  await vi.advanceTimersByTimeAsync(60_000);

  const busy = attached(handOvers);
  const refused = busy.offer(offer);
  await vi.advanceTimersByTimeAsync(1_000);
  expect(await refused).toBe(false);
  expect(handOvers.isResting('7')).toBe(false);
});
