import { Chalk } from 'chalk';
import { describe, expect, test } from 'vitest';
import { percent, renderTable } from '../../dev/bench/table.js';

const plain = new Chalk({ level: 0 });

describe('a table of figures', () => {
  test('sets numbers and percentages to the right and words to the left', () => {
    const lines = renderTable(
      {
        title: 'backlog',
        heads: ['step', 'rows/s', 'of ceiling'],
        rows: [
          ['publish', 61_234, percent(0.814)],
          ['load', 9, percent(1.2)],
        ],
      },
      plain,
    );
    expect(lines).toEqual([
      'backlog',
      'step     rows/s  of ceiling',
      'publish  61,234         81%',
      'load          9        120%',
    ]);
  });

  test('shows a dash for what was not measured, and still sets the column right', () => {
    const lines = renderTable(
      {
        title: 't',
        heads: ['ms', 'MB'],
        rows: [
          [undefined, 1_000],
          [Number.NaN, undefined],
        ],
      },
      plain,
    );
    expect(lines.slice(2)).toEqual([' -  1,000', ' -      -']);
    expect(percent(undefined)).toBeUndefined();
    expect(percent(Number.NaN)).toBeUndefined();
  });

  test.each([
    [0.1234, '0.12'],
    [0.05, '0.05'],
    [3, '3'],
    [12.345, '12.3'],
    [123.45, '123'],
    [1_234_567, '1,234,567'],
    [-2.5, '-2.50'],
  ])('writes %s with the digits that say something: %s', (number, text) => {
    expect(renderTable({ title: '', heads: [''], rows: [[number]] }, plain)[2]).toBe(text);
  });

  test('counts what a terminal shows, not code units', () => {
    const lines = renderTable(
      {
        title: '',
        heads: ['a', 'b'],
        rows: [
          ['→µ漢', 'x'],
          ['four', 'y'],
        ],
      },
      plain,
    );
    expect(lines.slice(2)).toEqual(['→µ漢  x', 'four  y']);
  });
});
