import { describe, expect, it } from 'vitest';
import { Lines } from '../../dev/compare/lines.js';

async function keysOf(chunks: readonly string[]): Promise<string[]> {
  async function* source(): AsyncGenerator<Buffer> {
    for (const chunk of chunks) yield Buffer.from(chunk);
  }
  const lines = new Lines(source());
  const keys: string[] = [];
  while (lines.step() || (await lines.read())) keys.push(lines.key);
  expect(lines.count).toBe(keys.length);
  return keys;
}

describe('lines of a stream', () => {
  it('are the same however it is cut', async () => {
    const text = 'a\t1\nbb\t22\n\t\nccc\t\nd\tx|y\n';
    for (let first = 0; first <= text.length; first += 1) {
      for (let second = first; second <= text.length; second += 1) {
        const chunks = [text.slice(0, first), text.slice(first, second), text.slice(second)];
        expect(await keysOf(chunks)).toEqual(['a', 'bb', '', 'ccc', 'd']);
      }
    }
  });

  it('may be none', async () => {
    expect(await keysOf([])).toEqual([]);
  });

  it.each([
    ['a last line that was cut off', ['a\t1\nb']],
    ['a line without a tab, such as an error of the server in the middle of its answer', ['a\t1\nCode: 241.\nb\t2\n']],
  ])('refuse %s', async (_what, chunks) => {
    await expect(keysOf(chunks)).rejects.toThrow();
  });
});
