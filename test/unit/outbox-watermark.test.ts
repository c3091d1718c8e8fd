import { describe, expect, it } from 'vitest';
import { OutboxWatermark } from '../../src/source/outbox/watermark.js';

/** When an idle table may wait for the next drawn position, and when it must look again by itself. */
describe('the watermark of an outbox', () => {
  it('is settled where nothing was drawn above the low-water', () => {
    expect(new OutboxWatermark('7', '7').isCaughtUp).toBe(true);
    expect(new OutboxWatermark('8', '7').isCaughtUp).toBe(false);
  });

  it('is settled by a batch with as many events as positions', () => {
    const watermark = new OutboxWatermark('0', '0');
    watermark.advance('3', '0');
    watermark.confirmed({ first: '1', last: '3' }, 3);
    expect(watermark.isCaughtUp).toBe(true);
    watermark.advance('4', '0');
    expect(watermark.isCaughtUp).toBe(false);
  });

  it.each([
    ['an event of the batch is missing', { first: '1', last: '3' }, 2],
    ['the batch begins later', { first: '2', last: '3' }, 2],
  ])('is not settled where %s: it may commit late', (_, batch, events) => {
    const watermark = new OutboxWatermark('3', '0');
    watermark.confirmed(batch, events);
    expect(watermark.isCaughtUp).toBe(false);
    watermark.advance('3', '3');
    expect(watermark.isCaughtUp).toBe(true);
  });

  it('never goes back', () => {
    const watermark = new OutboxWatermark('9', '0');
    watermark.confirmed({ first: '1', last: '9' }, 9);
    watermark.confirmed({ first: '1', last: '5' }, 5);
    watermark.advance('8', '2');
    expect(watermark.isCaughtUp).toBe(true);
    expect(watermark.allocated).toBe(9n);
  });
});
