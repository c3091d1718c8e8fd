import { expect, test } from 'vitest';
import { waitFor } from '../support/wait-for.js';

test('a wait returns what its condition gave first', async () => {
  let looks = 0;
  expect(await waitFor(() => (++looks === 3 ? 'there' : undefined), { deadlineMs: 5_000, what: 'three looks' })).toBe(
    'there',
  );
});

test('an expired wait names what it waited for and what it saw last', async () => {
  const wait = waitFor(
    (see) => {
      see({ rows: 7 });
      return false;
    },
    { deadlineMs: 30, what: 'eight rows' },
  );
  await expect(wait).rejects.toThrow('Waited 30 ms for eight rows; last seen: { rows: 7 }');
});

test('a look that throws counts as not yet', async () => {
  let looks = 0;
  const look = () => {
    if (++looks < 3) throw new Error('refused');
    return looks;
  };
  expect(await waitFor(look, { deadlineMs: 5_000, what: 'an answer' })).toBe(3);
});
