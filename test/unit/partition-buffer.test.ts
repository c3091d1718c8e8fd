import { describe, expect, test } from 'vitest';
import { FetchMemory } from '../../src/kafka/client/fetch-memory.js';
import { UnsupportedCodec } from '../../src/kafka/protocol/record-batch-reader.js';
import { FetchedBuilder } from '../../src/topic/fetched.js';
import { PartitionBuffer, type BufferStart } from '../../src/topic/partition-buffer.js';
import { idsOf } from '../support/kafka.js';
import { encodeBatch, ourBatch, withAttributes } from '../support/record-batches.js';

const memory = new FetchMemory();
const bufferAt = (next: number, more: Partial<BufferStart> = {}): PartitionBuffer =>
  new PartitionBuffer('t', 0, memory, { next, high: 0, ...more });
const LIMITS = { maxRows: Number.MAX_SAFE_INTEGER, maxBytes: Number.MAX_SAFE_INTEGER };

function drain(buffer: PartitionBuffer, maxRows = LIMITS.maxRows, last?: number): number[] {
  const builder = new FetchedBuilder('t', { ...LIMITS, maxRows });
  buffer.drainInto(builder, last);
  return idsOf(builder.finish().values);
}

describe('a partition buffer', () => {
  test('passes over what a batch holds below the offset that was asked for', async () => {
    const buffer = bufferAt(4);
    expect(buffer.accept(Buffer.concat([await ourBatch(0, 3), await ourBatch(3, 5)]))).toEqual({ kind: 'accepted' });
    expect(drain(buffer)).toEqual([4, 5, 6, 7]);
    expect(buffer).toMatchObject({ position: 8, next: 8, isEmpty: true, queuedBytes: 0 });
  });

  test.each([false, true])('is taken from in pieces, and takes no memory at the end (gzip: %s)', async (gzip) => {
    const buffer = bufferAt(0);
    buffer.accept(Buffer.concat([await ourBatch(0, 5, { gzip }), await ourBatch(5, 5, { gzip })]));
    expect(drain(buffer, 3)).toEqual([0, 1, 2]);
    expect(drain(buffer, 9, 3)).toEqual([3]);
    expect(buffer).toMatchObject({ position: 4, next: 10 });
    buffer.accept(await ourBatch(10, 2, { gzip }));
    expect(buffer.queuedBytes).toBeGreaterThan(0);
    expect(memory.used).toBe(buffer.queuedBytes);
    expect(drain(buffer)).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect(memory.used).toBe(0);
  });

  test('gives its memory back when it is cleared in the middle of a batch', async () => {
    const buffer = bufferAt(0);
    buffer.accept(await ourBatch(0, 5, { gzip: true }));
    drain(buffer, 2);
    buffer.clear();
    expect(memory.used).toBe(0);
  });

  test('has nothing to take once it is cleared, also where a record was left for the next batch', async () => {
    const buffer = bufferAt(0);
    buffer.accept(await ourBatch(0, 5));
    expect(drain(buffer, 2)).toEqual([0, 1]);
    buffer.clear();
    expect(drain(buffer)).toEqual([]);
  });

  test('refuses what does not follow: a later batch, a marker of a transaction, a batch with a hole, an empty one', async () => {
    const holed = await encodeBatch({
      first: 0,
      lastOffsetDelta: 3,
      records: [0, 1, 3].map((offsetDelta) => ({ value: Buffer.from('{}'), offsetDelta })),
    });
    const empty = await encodeBatch({ first: 0, lastOffsetDelta: 2, records: [] });
    const marker = withAttributes(await ourBatch(0, 1), 0b110000);
    expect(bufferAt(0).accept(await ourBatch(2, 1))).toEqual({ kind: 'gap', expected: 0, found: 2 });
    expect(bufferAt(0).accept(marker)).toEqual({ kind: 'gap', expected: 0, found: 1 });
    expect(bufferAt(0).accept(holed)).toEqual({ kind: 'gap', expected: 2, found: 3 });
    expect(bufferAt(0).accept(empty)).toEqual({ kind: 'gap', expected: 0, found: 3 });
    const buffer = bufferAt(0);
    expect(buffer.accept(Buffer.concat([await ourBatch(0, 2), await ourBatch(3, 1)]))).toMatchObject({ kind: 'gap' });
    expect(drain(buffer)).toEqual([0, 1]);
  });

  test('keeps what comes before a batch that it cannot read', async () => {
    const buffer = bufferAt(0);
    const lz4 = withAttributes(await ourBatch(2, 1), 3);
    const set = Buffer.concat([await ourBatch(0, 2), lz4]);
    expect(() => buffer.accept(set)).toThrow(UnsupportedCodec);
    expect(drain(buffer)).toEqual([0, 1]);
  });

  test('compares the record before with the one it knew, from the ledger, the queue and what was taken', async () => {
    const known = await ourBatch(0, 20, { timestampMs: 1 });
    const other = Buffer.from(known.toString('latin1').replaceAll('1/1/', '1/2/'), 'latin1');

    const fromLedger = bufferAt(5, { before: '1/1/4/1/4' });
    fromLedger.verify();
    expect(fromLedger.wanted).toBe(4);
    expect(fromLedger.accept(other)).toEqual({ kind: 'mismatch' });

    const queued = bufferAt(0);
    queued.accept(await ourBatch(0, 3));
    queued.verify();
    expect(queued.wanted).toBe(2);
    expect(queued.accept(other)).toEqual({ kind: 'mismatch' });

    const taken = bufferAt(0);
    taken.accept(await ourBatch(0, 3));
    drain(taken);
    taken.verify();
    expect(taken.wanted).toBe(2);
    expect(taken.accept(other)).toEqual({ kind: 'mismatch' });
  });

  test('goes on in the same batch after the record before was the one it knew', async () => {
    const buffer = bufferAt(0);
    buffer.accept(await ourBatch(0, 3));
    buffer.verify();
    expect(buffer.accept(await ourBatch(0, 6))).toEqual({ kind: 'accepted' });
    expect(buffer.isVerifying).toBe(false);
    expect(drain(buffer)).toEqual([0, 1, 2, 3, 4, 5]);
  });
});
