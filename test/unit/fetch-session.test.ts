import { describe, expect, test } from 'vitest';
import { FetchSession } from '../../src/kafka/client/fetch-session.js';

const SESSION_LOST = 70;
const EPOCH_LOST = 71;
const part = (topic: string, offset: number) => ({ topic, partition: 0, offset });

describe('a fetch session', () => {
  test('names everything once, and then only what changed', () => {
    const session = new FetchSession();
    session.want('a/0', part('a', 1));
    session.want('b/0', part('b', 2));
    expect(session.next()).toEqual({
      sessionId: 0,
      sessionEpoch: 0,
      partitions: [part('a', 1), part('b', 2)],
      forgotten: [],
    });
    expect(session.answered(0, 77)).toBe(true);
    expect(session.next()).toEqual({ sessionId: 77, sessionEpoch: 1, partitions: [], forgotten: [] });
    session.answered(0, 77);
    session.want('a/0', part('a', 5));
    session.want('b/0', part('b', 2));
    session.want('c/0', part('c', 0));
    session.forget('b/0');
    session.forget('never/0');
    expect(session.next()).toEqual({
      sessionId: 77,
      sessionEpoch: 2,
      partitions: [part('a', 5), part('c', 0)],
      forgotten: [part('b', 2)],
    });
    session.answered(0, 77);
    // Left and joined between two requests.
    session.forget('a/0');
    session.want('a/0', part('a', 9));
    expect(session.next()).toMatchObject({ partitions: [part('a', 9)], forgotten: [] });
  });

  test('names in the next request what changed while one was out', () => {
    const session = new FetchSession();
    session.want('a/0', part('a', 1));
    session.want('b/0', part('b', 2));
    session.next();
    session.answered(0, 77);
    session.next();
    session.forget('a/0');
    session.want('c/0', part('c', 0));
    session.answered(0, 77);
    expect(session.next()).toMatchObject({ partitions: [part('c', 0)], forgotten: [part('a', 1)] });
  });

  test.each([SESSION_LOST, EPOCH_LOST])('names everything again after error %i', (error) => {
    const session = new FetchSession();
    session.want('a/0', part('a', 1));
    session.next();
    session.answered(0, 77);
    session.want('b/0', part('b', 1));
    session.next();
    expect(session.answered(error, 0)).toBe(false);
    expect(session.next()).toMatchObject({ sessionId: 0, sessionEpoch: 0, partitions: [part('a', 1), part('b', 1)] });
  });

  test('goes without where the broker has no place for one, and gives each partition its turn', () => {
    const session = new FetchSession();
    session.want('a/0', part('a', 1));
    session.want('b/0', part('b', 1));
    session.answered(0, 0);
    session.want('a/0', part('a', 2));
    expect(session.next()).toMatchObject({ sessionId: 0, sessionEpoch: 0, partitions: [part('b', 1), part('a', 2)] });
  });
});
