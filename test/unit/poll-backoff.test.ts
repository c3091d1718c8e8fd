import { describe, expect, it } from 'vitest';
import { PollBackoff } from '../../src/pipeline/poll-backoff.js';

describe('the pace of looking', () => {
  it('goes from the shortest rest to the longest while nothing happens, and back at once', () => {
    const pace = new PollBackoff({ shortestMs: 5, longestMs: 50, growth: 1.25 });
    const rests = Array.from({ length: 20 }, () => pace.nextMs());
    expect(rests[0]).toBe(5);
    expect(rests.at(-1)).toBe(50);
    expect(rests).toEqual(rests.toSorted((a, b) => a - b));
    pace.reset();
    expect(pace.nextMs()).toBe(5);
  });
});
