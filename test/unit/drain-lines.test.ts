import { describe, expect, it } from 'vitest';
import type { Change } from '../../src/domain/change.js';
import { DrainLines } from '../../src/source/outbox/drain-lines.js';
import { textOf } from '../support/spans.js';

const TEXT = [
  `1\t1\t[1]\t{"id":1,"v":"a"}`,
  `2\t12\t["ä"]\t{"id":"ä","v":"tab \\\\t quote \\\\" backslash \\\\\\\\ 🐘"}`,
  `3\t1\t["\\\\\\\\"]\t{"id":"\\\\\\\\","_version":"3","_deleted":1}`,
  `9007199254740993\t2\t{"_version":"4"}\t`,
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
    lines.feed(Buffer.from('1\t1\t[1]\t{"id":1}\n22\t'));
    expect(lines.cutBytes).toBe(3);
  });

  it('are undone where they are escaped, whatever lies around them', () => {
    const rows = Array.from({ length: 40 }, (_, id) => ({
      id,
      v: id % 3 === 0 ? `\\"\\${'x'.repeat(id)}\\` : 'plain',
    }));
    const text = rows.map((row) => `${row.id}\t1\t${JSON.stringify([row.v])}\t${JSON.stringify(row)}\n`).join('');
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
    const [change] = lines.feed(Buffer.from('\n'));
    expect(change && change.value.end - change.value.start).toBe(8_000 * 16_384);
  });

  it('as text are the end of the line, as it came', () => {
    const lines = new DrainLines('text');
    const row = String.raw`1\ta \\ b\t\N\t7\t0`.replaceAll(String.raw`\t`, '\t');
    const text = `5\t2\t["\\\\\\\\"]\t${row}\n6\t1\t-\t${row}\n7\t1\t{"_version":"4"}\t\\N\t\\N\t7\t1\n`;
    expect(decoded([...lines.feed(Buffer.from(text))])).toEqual([
      { kind: 'row', key: String.raw`["\\"]`, value: row, seq: '5' },
      { kind: 'row', key: '-', value: row, seq: '6' },
      { kind: 'truncate', key: '', value: '{"_version":"4"}', seq: '7' },
    ]);
    expect(lines.events).toBe(4);
  });

  it('count what changed in an unknown row, and a row that is there twice once', () => {
    const lines = new DrainLines();
    const changes = lines.feed(Buffer.from('1\t4\t\t\n2\t3\t[1]\t{"v":1}\n2\t3\t[1]\t{"v":2}\n12\t1\t[2]\t{}\n'));
    expect(decoded([...changes]).map((change) => (change as { value: string }).value)).toEqual(['{"v":1}', '{}']);
    expect([lines.events, lines.unknown]).toEqual([8, 4]);
  });

  it('hold no escape but the doubled backslash', () => {
    expect(() => new DrainLines().feed(Buffer.from('1\t1\t[1]\t{"id":"\\n"}\n'))).toThrow(/escaped something/u);
  });
});
