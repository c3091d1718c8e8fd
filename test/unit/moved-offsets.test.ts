import { expect, it } from 'vitest';
import { MovedOffsets } from '../../src/topic/moved-offsets.js';

const range = (first: number, last: number) => ({ first: String(first), last: String(last) });

it('says the offsets of one partition', () => {
  const moved = new MovedOffsets();
  expect(String(moved)).toBe('');
  moved.add({ 0: range(3, 5) });
  moved.add({ 0: range(6, 9) });
  expect(String(moved)).toBe('offset 3..9');
});

it('mixes no offsets of several', () => {
  const moved = new MovedOffsets();
  moved.add({ 1: range(120, 130) });
  moved.add({ 0: range(70, 77), 10: range(1, 2) });
  expect(String(moved)).toBe('offset 70..77 of partition 0, 120..130 of 1, 1..2 of 10');
  moved.add({ 11: range(1, 1) });
  expect(String(moved)).toBe('offset 70..77 of partition 0, 120..130 of 1, 1..2 of 10, and 1 more partition');
});
