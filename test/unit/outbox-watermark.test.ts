import { describe, expect, it } from 'vitest';
import { OutboxWatermark } from '../../src/source/outbox/watermark.js';

/** When an idle table may wait for the next drawn position, and when it must look again by itself. */
describe('the frontier of an outbox', () => {
  it('is settled where nothing was drawn above the low-water', () => {
    expect(new OutboxWatermark('7', '7').isCaughtUp).toBe(true);
    expect(new OutboxWatermark('8', '7').isCaughtUp).toBe(false);
  });

  it('is settled by a batch with as many events as positions', () => {
    const frontier = new OutboxWatermark('0', '0');
    frontier.advance('3', '0');
    frontier.confirmed({ first: '1', last: '3' }, 3);
    expect(frontier.isCaughtUp).toBe(true);
    frontier.advance('4', '0');
    expect(frontier.isCaughtUp).toBe(false);
  });

  it.each([
    ['an event of the batch is missing', { first: '1', last: '3' }, 2],
    ['the batch begins later', { first: '2', last: '3' }, 2],
  ])('is not settled where %s: it may commit late', (_, batch, events) => {
    const frontier = new OutboxWatermark('3', '0');
    frontier.confirmed(batch, events);
    expect(frontier.isCaughtUp).toBe(false);
    frontier.advance('3', '3');
    expect(frontier.isCaughtUp).toBe(true);
  });

  it('never goes back', () => {
    const frontier = new OutboxWatermark('9', '0');
    frontier.confirmed({ first: '1', last: '9' }, 9);
    frontier.confirmed({ first: '1', last: '5' }, 5);
    frontier.advance('8', '2');
    expect(frontier.isCaughtUp).toBe(true);
    expect(frontier.allocated).toBe(9n);
  });
});
