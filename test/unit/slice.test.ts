import { ActivityCancellationDetails } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it } from 'vitest';
import { runSlice, UNBOUNDED, type Slice } from '../../src/pipeline/slice.js';
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

  it('goes on for its time when something moves at last', async () => {
    const ran = await lengthOf({ sliceMs: 500, idleMs: 60_000 }, (slice) => {
      slice.progress(IDLE);
      setTimeout(() => slice.progress({ ...IDLE, batches: 1 }), 200);
    });
    // A fifth less at most, so that tables woken together do not end their slices together.
    expect(ran).toBeGreaterThanOrEqual(590);
    expect(ran).toBeLessThan(2_000);
  });

  it('ends at once when it is cancelled, however idle', async () => {
    const environment = new MockActivityEnvironment();
    const running = environment.run(() =>
      runSlice({ sliceMs: 50, idleMs: 60_000 }, async (slice) => {
        slice.progress(IDLE);
        setTimeout(() => environment.cancel(), 100);
        await new Promise((resolve) => slice.ending.addEventListener('abort', resolve, { once: true }));
        return 'ended';
      }),
    );
    expect(await running).toBe('ended');
  });

  it.each(['notFound', 'timedOut'])(
    'goes on for a while when Temporal gave it up (%s): until it is fenced',
    async (how) => {
      const ending = async (length: Parameters<typeof runSlice>[0]): Promise<number> => {
        const environment = new MockActivityEnvironment();
        const startedAt = performance.now();
        await environment.run(() =>
          runSlice(
            length,
            async (slice) => {
              environment.cancel('NOT_FOUND', new ActivityCancellationDetails({ [how]: true }));
              if (!slice.ending.aborted)
                await new Promise((resolve) => slice.ending.addEventListener('abort', resolve, { once: true }));
              expect(slice.signal.aborted).toBe(false);
            },
            { givenUpMs: 300 },
          ),
        );
        return performance.now() - startedAt;
      };
      expect(await ending({ sliceMs: 60_000 })).toBeGreaterThanOrEqual(290);
      expect(await ending({ sliceMs: 50 })).toBeLessThan(250);
      // Nobody waits for it, and the next begins it anew.
      expect(await ending(UNBOUNDED)).toBeLessThan(250);
    },
  );
});
