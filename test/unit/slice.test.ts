import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it } from 'vitest';
import { runSlice, type Slice } from '../../activities/slice.js';
import type { SliceProgress } from '../../src/domain/receipt.js';

const IDLE: SliceProgress = { stage: 'publish', rows: 0, batches: 0, moved: '', waiting: 0, lagSeconds: 0 };
const LENGTH = { sliceMs: 50, idleMs: 400 };

/** @returns how long the slice ran until it was told to end, milliseconds */
async function lengthOf(length: Parameters<typeof runSlice>[0], tell: (slice: Slice) => void): Promise<number> {
  const startedAt = performance.now();
  await new MockActivityEnvironment().run(() =>
    runSlice(length, async (slice) => {
      tell(slice);
      await new Promise((resolve) => slice.ending.addEventListener('abort', resolve, { once: true }));
    }),
  );
  return performance.now() - startedAt;
}

describe('a slice', () => {
  it('ends in time when it has moved something, or something waits, or it has told nothing', async () => {
    expect(await lengthOf(LENGTH, (slice) => slice.progress({ ...IDLE, batches: 1 }))).toBeLessThan(300);
    expect(await lengthOf(LENGTH, (slice) => slice.progress({ ...IDLE, waiting: 1 }))).toBeLessThan(300);
    expect(await lengthOf(LENGTH, () => undefined)).toBeLessThan(300);
  });

  it('lasts longer while nothing moves, where it may', async () => {
    expect(await lengthOf(LENGTH, (slice) => slice.progress(IDLE))).toBeGreaterThanOrEqual(390);
    expect(await lengthOf({ sliceMs: 50 }, (slice) => slice.progress(IDLE))).toBeLessThan(300);
  });

  it('ends as soon as something moves after its time', async () => {
    const ran = await lengthOf({ sliceMs: 50, idleMs: 60_000 }, (slice) => {
      slice.progress(IDLE);
      setTimeout(() => slice.progress({ ...IDLE, batches: 1 }), 200);
    });
    expect(ran).toBeGreaterThanOrEqual(190);
    expect(ran).toBeLessThan(2_000);
  });

  it('ends at once when it is cancelled, however idle', async () => {
    const environment = new MockActivityEnvironment();
    const running = environment.run(() =>
      runSlice({ sliceMs: 50, idleMs: 60_000 }, async (slice) => {
        slice.progress(IDLE);
        setTimeout(() => environment.cancel(), 100);
        await new Promise((resolve) => slice.ending.addEventListener('abort', resolve, { once: true }));
        return slice.cancelled;
      }),
    );
    expect(await running).toBe(true);
  });
});
