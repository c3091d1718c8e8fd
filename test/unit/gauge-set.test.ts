import { expect, it } from 'vitest';
import { GaugeSet } from '../../src/observe/gauge-set.js';
import { NO_METERS } from '../../src/observe/meters.js';

function openBoard(): { board: GaugeSet; shown: Map<string, number> } {
  const shown = new Map<string, number>();
  const board = new GaugeSet({
    ...NO_METERS,
    set: (name, value, labels) => void shown.set(`${name} ${Object.values(labels).join(' ')}`, value),
  });
  return { board, shown };
}

const bytesOf = (table: string, value: number) =>
  ({ name: 'pg2click_outbox_bytes', value, labels: { pipeline: 'p', table } }) as const;

it('a table that is not in the next reading is NaN, the others have their new values', () => {
  const { board, shown } = openBoard();
  board.replace([bytesOf('a', 1), bytesOf('b', 2)]);
  board.replace([bytesOf('b', 3)]);
  expect([...shown]).toEqual([
    ['pg2click_outbox_bytes p a', Number.NaN],
    ['pg2click_outbox_bytes p b', 3],
  ]);
});

it('everything is NaN when nothing could be read, and comes back with the next reading', () => {
  const { board, shown } = openBoard();
  board.replace([bytesOf('a', 1)]);
  board.replace([]);
  expect(shown.get('pg2click_outbox_bytes p a')).toBeNaN();
  board.replace([bytesOf('a', 5)]);
  expect(shown.get('pg2click_outbox_bytes p a')).toBe(5);
});
