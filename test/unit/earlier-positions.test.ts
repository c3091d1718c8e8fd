import { describe, expect, test } from 'vitest';
import { goBackTo, safePosition, withEarlier } from '../../src/topic/earlier-positions.js';
import type { TopicPosition } from '../../src/topic/topic-source.js';

const MINUTE = 60_000;
const START: TopicPosition = { offsets: { '0': '0' }, headers: {} };

/** A batch of one message a minute, which is confirmed at the end of it. */
function loadFor(minutes: number, from: TopicPosition = START, startMs = 0): TopicPosition {
  let position = from;
  for (let minute = 1; minute <= minutes; minute++) {
    const offset = String(Number(position.offsets['0']) + 1);
    const next = { ...position, offsets: { '0': offset }, headers: { '0': `at ${offset}` }, highest: offset };
    position = withEarlier(position, next, startMs + minute * MINUTE);
  }
  return position;
}

describe('the position before a restart', () => {
  test('is one that was confirmed ten minutes before, and not much earlier', () => {
    const safe = safePosition(loadFor(60), 60 * MINUTE);
    expect(Number(safe?.offsets['0'])).toBeLessThanOrEqual(50);
    expect(Number(safe?.offsets['0'])).toBeGreaterThan(43);
  });

  test('is the first one where loading began a short time ago', () => {
    expect(safePosition(loadFor(3), 3 * MINUTE)?.offsets).toEqual(START.offsets);
  });

  test('is that of now where nothing was loaded for a while, or where nothing is known', () => {
    expect(safePosition(loadFor(60), 71 * MINUTE)).toBeUndefined();
    expect(safePosition(START, MINUTE)).toBeUndefined();
  });

  test('is found again after going back, however often the server is started', () => {
    let position = loadFor(60);
    for (let starts = 0; starts < 3; starts++) {
      const safe = safePosition(position, 60 * MINUTE);
      if (safe === undefined) break;
      position = goBackTo(position, safe, {});
    }
    expect(Number(position.offsets['0'])).toBeGreaterThan(40);
    expect(position.returns).toBe(1);
  });

  test('keeps few of the earlier ones', () => {
    expect(loadFor(600).earlier?.length).toBeLessThanOrEqual(5);
  });
});

test('a partition whose earlier messages have expired stays where it is, and keeps its header', () => {
  const position = {
    offsets: { '0': '20', '1': '20' },
    headers: { '0': 'a', '1': 'b' },
    highest: '7',
  };
  const back = goBackTo(position, { at: 0, offsets: { '0': '5', '1': '5' } }, { '0': { low: '6' }, '1': { low: '5' } });
  expect(back).toMatchObject({ offsets: { '0': '20', '1': '5' }, headers: { '0': 'a' } });
  expect(back.highest).toBeUndefined();
});
