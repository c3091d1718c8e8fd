import { expect, it } from 'vitest';
import { RateLimit } from '../../src/pipeline/rate-limit.js';

const MB = 1_000_000;

async function* chunks(count: number): AsyncGenerator<Buffer> {
  for (let n = 0; n < count; n += 1) yield await Promise.resolve(Buffer.alloc(MB / 10));
}
const pass = async (limit: RateLimit, count: number, signal = new AbortController().signal): Promise<number> => {
  let bytes = 0;
  for await (const chunk of limit.pass(chunks(count), signal)) bytes += chunk.length;
  return bytes;
};

it('two streams together are not faster than the rate, but for the first second', async () => {
  const limit = new RateLimit(10 * MB);
  const startedAt = performance.now();
  const bytes = await Promise.all([pass(limit, 75), pass(limit, 75)]);
  expect(bytes).toEqual([7.5 * MB, 7.5 * MB]);
  expect(performance.now() - startedAt).toBeGreaterThan(450);
});

it('without a limit nothing waits', async () => {
  expect(await pass(new RateLimit(undefined), 1_000)).toBe(100 * MB);
});

it('a wait ends with the reason of the signal', async () => {
  const given = new AbortController();
  const passing = pass(new RateLimit(1), 2, given.signal);
  const reason = new Error('enough');
  given.abort(reason);
  await expect(passing).rejects.toBe(reason);
});
