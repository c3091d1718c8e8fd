import { expect, test } from 'vitest';
import { describeBehind, type ReplicaState } from '../../src/clickhouse/replica-state.js';

const level: ReplicaState = { readOnly: 0, delaySeconds: '0', toFetch: '0', unread: '0' };

test('a replica that has all that the others have is not behind', () => {
  expect(describeBehind(level)).toBeUndefined();
});

test.each([
  [{ readOnly: 1 }, 'has lost its keeper and is read-only'],
  [{ toFetch: '3' }, 'has yet to fetch 3 inserts of others'],
  [{ toFetch: '1' }, 'has yet to fetch 1 insert of others'],
  [{ delaySeconds: '12' }, 'is 12 s behind'],
  [{ unread: '2' }, 'has not read 2 entries of the log'],
])('a replica that is behind says by what: %j', (more, sentence) => {
  expect(describeBehind({ ...level, ...more })).toBe(sentence);
});
