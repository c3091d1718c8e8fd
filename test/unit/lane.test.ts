import { describe, expect, test } from 'vitest';
import { FetchMemory } from '../../src/transport/fetch-memory.js';
import { FetchedBuilder } from '../../src/transport/fetched.js';
import { Lane, type LaneStart } from '../../src/transport/lane.js';
import { idsOf } from '../support/kafka.js';
import { encodeBatch, ourBatch, withAttributes } from '../support/record-batches.js';

const memory = new FetchMemory();
const laneAt = (next: number, more: Partial<LaneStart> = {}): Lane =>
  new Lane('t', 0, memory, { next, high: 0, ...more });
const LIMITS = { maxRows: Number.MAX_SAFE_INTEGER, maxBytes: Number.MAX_SAFE_INTEGER };

function drain(lane: Lane, maxRows = LIMITS.maxRows, last?: number): number[] {
  const builder = new FetchedBuilder('t', { ...LIMITS, maxRows });
  lane.drainInto(builder, last);
  return idsOf(builder.finish().values);
}

describe('a lane', () => {
  test('passes over what a batch holds below the offset that was asked for', async () => {
    const lane = laneAt(4);
    expect(lane.accept(Buffer.concat([await ourBatch(0, 3), await ourBatch(3, 5)]))).toEqual({ kind: 'accepted' });
    expect(drain(lane)).toEqual([4, 5, 6, 7]);
    expect(lane).toMatchObject({ position: 8, next: 8, isEmpty: true, queuedBytes: 0 });
  });

  test.each([false, true])('is taken from in pieces, and weighs nothing at the end (gzip: %s)', async (gzip) => {
    const lane = laneAt(0);
    lane.accept(Buffer.concat([await ourBatch(0, 5, { gzip }), await ourBatch(5, 5, { gzip })]));
    expect(drain(lane, 3)).toEqual([0, 1, 2]);
    expect(drain(lane, 9, 3)).toEqual([3]);
    expect(lane).toMatchObject({ position: 4, next: 10 });
    lane.accept(await ourBatch(10, 2, { gzip }));
    expect(lane.queuedBytes).toBeGreaterThan(0);
    expect(memory.used).toBe(lane.queuedBytes);
    expect(drain(lane)).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect(memory.used).toBe(0);
  });

  test('gives its memory back when it is dropped in the middle of a batch', async () => {
    const lane = laneAt(0);
    lane.accept(await ourBatch(0, 5, { gzip: true }));
    drain(lane, 2);
    lane.drop();
    expect(memory.used).toBe(0);
  });

  test('refuses what does not follow: a later batch, a mark of a transaction, a batch with a hole, an empty one', async () => {
    const holed = await encodeBatch({
      first: 0,
      lastOffsetDelta: 3,
      records: [0, 1, 3].map((offsetDelta) => ({ value: Buffer.from('{}'), offsetDelta })),
    });
    const empty = await encodeBatch({ first: 0, lastOffsetDelta: 2, records: [] });
    const mark = withAttributes(await ourBatch(0, 1), 0b110000);
    expect(laneAt(0).accept(await ourBatch(2, 1))).toEqual({ kind: 'gap', expected: 0, found: 2 });
    expect(laneAt(0).accept(mark)).toEqual({ kind: 'gap', expected: 0, found: 1 });
    expect(laneAt(0).accept(holed)).toEqual({ kind: 'gap', expected: 2, found: 3 });
    expect(laneAt(0).accept(empty)).toEqual({ kind: 'gap', expected: 0, found: 3 });
    const lane = laneAt(0);
    expect(lane.accept(Buffer.concat([await ourBatch(0, 2), await ourBatch(3, 1)]))).toMatchObject({ kind: 'gap' });
    expect(drain(lane)).toEqual([0, 1]);
  });

  test('keeps what comes before a batch that it cannot read', async () => {
    const lane = laneAt(0);
    const lz4 = withAttributes(await ourBatch(2, 1), 3);
    const set = Buffer.concat([await ourBatch(0, 2), lz4]);
    expect(() => lane.accept(set)).toThrow(expect.objectContaining({ kind: 'Misconfigured' }));
    expect(drain(lane)).toEqual([0, 1]);
  });

  test('compares the record before with the one it knew, from the ledger, the queue and what was taken', async () => {
    const stranger = await ourBatch(0, 20, { timestampMs: 1 });
    const other = Buffer.from(stranger.toString('latin1').replaceAll('1/1/', '1/2/'), 'latin1');

    const fromLedger = laneAt(5, { before: '1/1/4/1/4' });
    fromLedger.lookAgain();
    expect(fromLedger.wanted).toBe(4);
    expect(fromLedger.accept(other)).toEqual({ kind: 'stranger' });

    const queued = laneAt(0);
    queued.accept(await ourBatch(0, 3));
    queued.lookAgain();
    expect(queued.wanted).toBe(2);
    expect(queued.accept(other)).toEqual({ kind: 'stranger' });

    const taken = laneAt(0);
    taken.accept(await ourBatch(0, 3));
    drain(taken);
    taken.lookAgain();
    expect(taken.wanted).toBe(2);
    expect(taken.accept(other)).toEqual({ kind: 'stranger' });
  });

  test('goes on in the same batch after the record before was the one it knew', async () => {
    const lane = laneAt(0);
    lane.accept(await ourBatch(0, 3));
    lane.lookAgain();
    expect(lane.accept(await ourBatch(0, 6))).toEqual({ kind: 'accepted' });
    expect(lane.isAwaitingBefore).toBe(false);
    expect(drain(lane)).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
