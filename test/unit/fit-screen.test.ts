import { expect, it } from 'vitest';
import { fitScreen } from '../../src/cli/fit-screen.js';

const WAY = 'a larger window';

it('what fits is left as it is', () => {
  expect(fitScreen('a\n  b\n\nc', { columns: 80, rows: 24 }, WAY)).toBe('a\n  b\n\nc');
});

it('a long line is broken between words, and goes on below its beginning', () => {
  const text = '  → run the command that is printed here, and then wait';
  expect(fitScreen(text, { columns: 30, rows: 24 }, WAY)).toBe(
    '  → run the command that is\n  printed here, and then wait',
  );
});

it('what is below the last row is counted, and the first rows stay', () => {
  const lines = Array.from({ length: 30 }, (_, index) => `line ${index}`);
  const shown = fitScreen(lines.join('\n'), { columns: 80, rows: 10 }, WAY).split('\n');
  expect(shown).toHaveLength(9);
  expect(shown[0]).toBe('line 0');
  expect(shown.at(-1)).toBe('  .. 22 more lines: a larger window');
});
