import { describe, expect, it } from 'vitest';
import type { Change } from '../../src/domain/change.js';
import { DrainLines } from '../../src/source/drain-lines.js';

const TEXT = [
  `1\t1\t[1]\t{"id":1,"v":"a"}\t`,
  `2\t12\t["ä"]\t{"id":"ä","v":"tab \\\\t quote \\\\" backslash \\\\\\\\ 🐘"}\t`,
  `3\t1\t["\\\\\\\\"]\t\t{"id":"\\\\\\\\","_version":"3","_deleted":1}`,
  `9007199254740993\t2\t\t\t{"_version":"4"}`,
  '',
].join('\n');

const CHANGES = [
  { kind: 'row', key: '[1]', value: '{"id":1,"v":"a"}', seq: '1' },
  { kind: 'row', key: '["ä"]', value: String.raw`{"id":"ä","v":"tab \t quote \" backslash \\ 🐘"}`, seq: '2' },
  { kind: 'row', key: String.raw`["\\"]`, value: String.raw`{"id":"\\","_version":"3","_deleted":1}`, seq: '3' },
  { kind: 'truncate', key: '', value: '{"_version":"4"}', seq: '9007199254740993' },
];

function cutAt(sizes: readonly number[]): { lines: DrainLines; changes: Change[] } {
  const lines = new DrainLines();
  const changes: Change[] = [];
  const bytes = Buffer.from(TEXT);
  let start = 0;
  for (const size of [...sizes, bytes.length]) {
    // Copies: the parser may write into what it is fed.
    lines.feed(Buffer.from(bytes.subarray(start, start + size)), changes);
    start += size;
  }
  return { lines, changes };
}

const decoded = (changes: readonly Change[]): unknown[] =>
  changes.map((change) => ({ ...change, key: change.key.toString(), value: change.value.toString() }));

describe('the lines of the drain', () => {
  it('are one change each, wherever the stream was cut', () => {
    for (let size = 0; size <= Buffer.byteLength(TEXT); size++) {
      const { lines, changes } = cutAt([size]);
      expect(decoded(changes)).toEqual(CHANGES);
      expect(lines.events).toBe(16);
      expect(lines.cut).toBe(false);
    }
    expect(decoded(cutAt(Array.from({ length: Buffer.byteLength(TEXT) }, () => 1)).changes)).toEqual(CHANGES);
  });

  it('say when the last one is not complete', () => {
    const lines = new DrainLines();
    lines.feed(Buffer.from('1\t1\t[1]\t{"id":1}'), []);
    expect(lines.cut).toBe(true);
  });

  it('hold no escape but the doubled backslash', () => {
    expect(() => new DrainLines().feed(Buffer.from('1\t1\t[1]\t{"id":"\\n"}\t\n'), [])).toThrow(/escaped something/u);
  });
});
