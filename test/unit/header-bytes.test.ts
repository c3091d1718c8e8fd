import { describe, expect, test } from 'vitest';
import { parseHeader, printHeader } from '../../src/domain/message-header.js';
import { readLabel } from '../../src/transport/header-bytes.js';

describe('readLabel', () => {
  test.each([
    '1/2/3/4/5',
    '255/4294967296/0/1/72057594037927935',
    '3/17/999/1/999999999999999',
    '3/17/999/1/1000000000000000',
    '1/1/0/0/12/truncate',
  ])('reads %s as parseHeader does', (text) => {
    const parsed = parseHeader(text);
    const label = readLabel(Buffer.from(text));
    expect(label).toMatchObject({ generation: parsed?.generation, rows: parsed?.rows });
    expect(String(label?.highest)).toBe(parsed?.highest);
    expect(label?.truncate).toBe(parsed?.kind === 'truncate');
    expect(parsed && printHeader(parsed)).toBe(text);
  });

  test.each([
    '',
    '1/2/3/4',
    '1/2/3/4/',
    '1/2//4/5',
    '/2/3/4/5',
    '1/2/3/4/5/6',
    '1/2/3/4/5/trunc',
    '1/2/3/4/5/truncated',
    '1/2/3/4/5x',
    '-1/2/3/4/5',
    '1/2/3/4/5\n',
    '{"generation":1}',
  ])('does not take %j for ours, nor does parseHeader', (text) => {
    expect(readLabel(Buffer.from(text))).toBeUndefined();
    expect(parseHeader(text)).toBeUndefined();
  });

  test('compares positions beyond 2^53 exactly', () => {
    const low = readLabel(Buffer.from('1/1/0/1/9007199254740992'))?.highest ?? 0;
    const high = readLabel(Buffer.from('1/1/0/1/9007199254740993'))?.highest ?? 0;
    const small = readLabel(Buffer.from('1/1/0/1/7'))?.highest ?? 0;
    expect(high > low).toBe(true);
    expect(low > small).toBe(true);
  });
});
