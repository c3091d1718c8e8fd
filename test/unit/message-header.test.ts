import { describe, expect, test } from 'vitest';
import {
  HeaderReader,
  HeaderWriter,
  originNumber,
  originText,
  parseHeader,
  printHeader,
} from '../../src/messages/header.js';
import { spanOf, textOf } from '../support/spans.js';

function read(text: string): HeaderReader | undefined {
  const reader = new HeaderReader();
  // Somewhere in the middle of other bytes.
  const bytes = Buffer.from(`9/${text}/9`);
  return reader.read(bytes, 2, bytes.length - 2) ? reader : undefined;
}

describe('a header', () => {
  test.each([
    '2/00000000/1/1/2/3/4/5',
    '2/0a1b2c3d/255/70000/4294967296/0/1/72057594037927935',
    '2/ffffffff/3/1/17/999/1/999999999999999',
    '2/12345678/3/2/17/999/1/1000000000000000',
    '2/deadbeef/1/1/1/0/0/12/truncate',
    '2/deadbeef/1/2/1/0/1/12/key',
    '2/deadbeef/1/2/1/0/1/12/envelope',
    '2/deadbeef/1/2/1/1/0/12/tombstone',
    '1/2/3/4/5/key',
    '1/2/3/4/5',
    '255/4294967296/0/1/72057594037927935',
    '3/17/999/1/1000000000000000',
    '1/1/0/0/12/truncate',
    '2/12345678/0/1/55',
    '2/12345678/0/0/55/truncate',
  ])('%s reads the same from bytes and text, and prints as it was', (text) => {
    const parsed = parseHeader(text);
    const header = read(text);
    expect(header).toMatchObject({ generation: parsed?.generation, shape: parsed?.shape, rows: parsed?.rows });
    expect(header?.origin === undefined ? undefined : originText(header.origin)).toBe(parsed?.origin);
    expect(String(header?.highest)).toBe(parsed?.highest);
    expect(header?.kind).toBe(parsed?.kind);
    expect(parsed && printHeader(parsed)).toBe(text);
  });

  test('of the old form has no origin, and the first shape', () => {
    expect(parseHeader('2/7/0/1/55')).toMatchObject({ origin: undefined, generation: 2, shape: 1, batch: 7 });
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
    '2/deadbeef/1/2/1/0/1/12/ke',
    '2/deadbeef/1/2/1/0/1/12/keys',
    '2/deadbeef/1/2/1/0/1/12/key/truncate',
    '1/2/3/4/5x',
    '-1/2/3/4/5',
    '1/2/3/4/5\n',
    '{"generation":1}',
    '2/0a1b2c3d',
    '2/0a1b2c3d/',
    '2/0a1b2c3d/1/1/2/3/4',
    '2/0a1b2c3d/1/1/2/3/4/5/6',
    '2/0A1B2C3D/1/1/2/3/4/5',
    '2/0a1b2c3/1/1/2/3/4/5',
    '2/0a1b2c3d0/1/1/2/3/4/5',
    '3/0a1b2c3d/1/1/2/3/4/5',
    '2/0a1b2c3d/1/1/2/3/4/5/truncate/',
  ])('%j is not ours, for bytes and text', (text) => {
    expect(read(text)).toBeUndefined();
    expect(parseHeader(text)).toBeUndefined();
  });

  test('of a key is foreign to the releases before it, which park', () => {
    const before = /^(?:2\/([0-9a-f]{8})\/(\d+)\/(\d+)|(\d+))\/(\d+)\/(\d+)\/(\d+)\/(\d+)(\/truncate)?$/u;
    expect('2/deadbeef/1/1/1/0/1/12').toMatch(before);
    for (const [origin, shape] of [
      ['deadbeef', 1],
      ['12345678', 2],
    ] as const) {
      const header = { origin, generation: 2, shape, batch: 1, row: 0, rows: 1, highest: '12', kind: 'key' } as const;
      expect(printHeader(header)).not.toMatch(before);
    }
  });

  test('compares positions beyond 2^53 exactly', () => {
    const low = read('1/1/0/1/9007199254740992')?.highest ?? 0;
    const high = read('2/00000000/1/1/1/0/1/9007199254740993')?.highest ?? 0;
    const small = read('1/1/0/1/7')?.highest ?? 0;
    expect(high > low).toBe(true);
    expect(low > small).toBe(true);
  });

  test('is written as it is printed', () => {
    for (const [row, rows, highest, kind] of [
      [0, 1, '1', 'rows'],
      [9, 10, '99', 'rows'],
      [10, 0, '9223372036854775807', 'truncate'],
      [11, 1, '9223372036854775806', 'key'],
      [1_234_567, 20_000, '1000000', 'rows'],
      [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, '18446744073709551615', 'truncate'],
    ] as const)
      for (const generation of [1, 4_294_967_295]) {
        const name = { origin: 'c0ffee00', generation, shape: generation, batch: Number.MAX_SAFE_INTEGER };
        const written = textOf(new HeaderWriter(name).write(row, rows, spanOf(highest), kind));
        expect(written).toBe(printHeader({ ...name, row, rows, highest, kind }));
        expect(parseHeader(written)).toMatchObject({ ...name, row, rows, highest, kind });
      }
  });

  test.each(['', '1234567', '123456789', '1234567G', '1234ABCD'])('has no origin %j', (origin) => {
    expect(() => originNumber(origin)).toThrow(TypeError);
    expect(() => new HeaderWriter({ origin, generation: 1, shape: 1, batch: 1 })).toThrow(TypeError);
  });
});
