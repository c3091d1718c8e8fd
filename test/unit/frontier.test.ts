import { describe, expect, it } from 'vitest';
import { Frontier } from '../../src/domain/frontier.js';

/** When an idle table may wait for the next drawn position, and when it must look again by itself. */
describe('the frontier of an outbox', () => {
  it('is settled where nothing was drawn above the low-water', () => {
    expect(new Frontier('7', '7').isSettled).toBe(true);
    expect(new Frontier('8', '7').isSettled).toBe(false);
  });

  it('is settled by a batch with as many events as positions', () => {
    const frontier = new Frontier('0', '0');
    frontier.learn('3', '0');
    frontier.confirmed({ first: '1', last: '3' }, 3);
    expect(frontier.isSettled).toBe(true);
    frontier.learn('4', '0');
    expect(frontier.isSettled).toBe(false);
  });

  it.each([
    ['an event of the batch is missing', { first: '1', last: '3' }, 2],
    ['the batch begins later', { first: '2', last: '3' }, 2],
  ])('is not settled where %s: it may commit late', (_, batch, events) => {
    const frontier = new Frontier('3', '0');
    frontier.confirmed(batch, events);
    expect(frontier.isSettled).toBe(false);
    frontier.learn('3', '3');
    expect(frontier.isSettled).toBe(true);
  });

  it('never goes back', () => {
    const frontier = new Frontier('9', '0');
    frontier.confirmed({ first: '1', last: '9' }, 9);
    frontier.confirmed({ first: '1', last: '5' }, 5);
    frontier.learn('8', '2');
    expect(frontier.isSettled).toBe(true);
    expect(frontier.drawn).toBe(9n);
  });
});
