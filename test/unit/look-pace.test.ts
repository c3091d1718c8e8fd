import { expect, it } from 'vitest';
import { LookPace } from '../../src/source/outbox/look-pace.js';

const NONE = undefined;

it('looks for late events each time where that costs nothing', () => {
  const pace = new LookPace();
  for (let now = 0; now < 1_000; now += 50) {
    const part = pace.part(100n, 5_000n, now);
    expect(part).toEqual({});
    pace.looked(part, NONE, { last: 5_000n, tookMs: 1, nowMs: now + 1 });
  }
});

it('looks for late events for a tenth of the time where it takes long, and for new ones in between', () => {
  const pace = new LookPace();
  let late = 0;
  let tookMs = 0;
  for (let now = 0; now < 60_000; now += 10) {
    const part = pace.part(0n, 900_000n, now);
    if (part.after === 900_000n) continue;
    late += 1;
    tookMs += 200;
    now += 200;
    pace.looked(part, NONE, { last: 900_000n, tookMs: 200, nowMs: now });
  }
  expect(late).toBeGreaterThan(20);
  expect(tookMs / 60_000).toBeLessThan(0.11);
});

it('rests half a minute at most', () => {
  const pace = new LookPace();
  pace.looked(pace.part(0n, 10n, 0), NONE, { last: 10n, tookMs: 20_000, nowMs: 20_000 });
  expect(pace.part(0n, 10n, 49_999)).toEqual({ after: 10n });
  expect(pace.part(0n, 10n, 50_000)).toEqual({});
});

it('goes a long way in steps, each followed by a look for new events, and begins again at the low-water', () => {
  const pace = new LookPace();
  const steps: unknown[] = [];
  for (let now = 0; steps.length < 8; now += 10_000) {
    const part = pace.part(5n, 2_500_000n, now);
    steps.push([part.after, part.upTo]);
    pace.looked(part, NONE, { last: 2_500_000n, tookMs: 100, nowMs: now });
  }
  const isNew = [2_500_000n, NONE];
  expect(steps).toEqual([
    [5n, 1_000_005n],
    isNew,
    [1_000_005n, 2_000_005n],
    isNew,
    [2_000_005n, 2_500_000n],
    isNew,
    [5n, 1_000_005n],
    isNew,
  ]);
});

it('goes on at once behind late events that it found', () => {
  const pace = new LookPace();
  const part = pace.part(0n, 3_000_000n, 0);
  pace.looked(part, { first: 10n, last: 20_009n }, { last: 3_000_000n, tookMs: 500, nowMs: 500 });
  expect(pace.part(0n, 3_000_000n, 500)).toEqual({ after: 3_000_000n });
  expect(pace.part(0n, 3_000_000n, 501)).toEqual({ after: 20_009n, upTo: 1_020_009n });
});
