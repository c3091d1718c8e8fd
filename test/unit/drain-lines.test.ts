import { describe, expect, it } from 'vitest';
import type { Change } from '../../src/domain/change.js';
import { DrainLines } from '../../src/source/outbox/drain-lines.js';
import { textOf } from '../support/spans.js';

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
    changes.push(...lines.feed(Buffer.from(bytes.subarray(start, start + size))));
    start += size;
  }
  return { lines, changes };
}

const decoded = (changes: readonly Change[]): unknown[] =>
  changes.map(({ kind, key, value, seq }) => ({ kind, key: textOf(key), value: textOf(value), seq: textOf(seq) }));

describe('the lines of the drain', () => {
  it('are one change each, wherever the stream was cut', () => {
    for (let size = 0; size <= Buffer.byteLength(TEXT); size++) {
      const { lines, changes } = cutAt([size]);
      expect(decoded(changes)).toEqual(CHANGES);
      expect(lines.events).toBe(16);
      expect(lines.cutBytes).toBe(0);
    }
    expect(decoded(cutAt(Array.from({ length: Buffer.byteLength(TEXT) }, () => 1)).changes)).toEqual(CHANGES);
  });

  it('say when the last one is not complete', () => {
    const lines = new DrainLines();
    lines.feed(Buffer.from('1\t1\t[1]\t{"id":1}\t\n22\t'));
    expect(lines.cutBytes).toBe(3);
  });

  it('are undone where they are escaped, whatever lies around them', () => {
    const rows = Array.from({ length: 40 }, (_, id) => ({
      id,
      v: id % 3 === 0 ? `\\"\\${'x'.repeat(id)}\\` : 'plain',
    }));
    const text = rows.map((row) => `${row.id}\t1\t${JSON.stringify([row.v])}\t${JSON.stringify(row)}\t\n`).join('');
    const changes = [...new DrainLines().feed(Buffer.from(text.replaceAll('\\', '\\\\')))];
    expect(changes.map(({ key, value }) => [JSON.parse(textOf(key)), JSON.parse(textOf(value))])).toEqual(
      rows.map((row) => [[row.v], row]),
    );
  });

  // Joined anew with each chunk, as it once was, this took minutes.
  it('are joined once, in however many chunks they come', { timeout: 20_000 }, () => {
    const lines = new DrainLines();
    const part = Buffer.alloc(16_384, 'x');
    lines.feed(Buffer.from('1\t1\t[1]\t'));
    for (let i = 0; i < 8_000; i++) lines.feed(part);
    expect(lines.cutBytes).toBe(8 + 8_000 * 16_384);
    const [change] = lines.feed(Buffer.from('\t\n'));
    expect(change && change.value.end - change.value.start).toBe(8_000 * 16_384);
  });

  it('hold no escape but the doubled backslash', () => {
    expect(() => new DrainLines().feed(Buffer.from('1\t1\t[1]\t{"id":"\\n"}\t\n'))).toThrow(/escaped something/u);
  });
});
