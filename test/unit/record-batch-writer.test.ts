import { describe, expect, test } from 'vitest';
import type { Span } from '../../src/domain/change.js';
import { RECORD_BYTES, RecordBatchWriter } from '../../src/kafka/protocol/record-batch-writer.js';
import { decodeBatch, HERE } from '../support/record-batch.js';
import { spanOf } from '../support/spans.js';

const HEADER = Buffer.from('pg2click');

interface Plain {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly header: Buffer;
}

/** Somewhere in the middle of other bytes. */
function within(bytes: Buffer): Span {
  return {
    bytes: Buffer.concat([Buffer.from('before'), bytes, Buffer.from('after')]),
    start: 6,
    end: 6 + bytes.length,
  };
}

function write(records: readonly Plain[], into = new RecordBatchWriter()): RecordBatchWriter {
  for (const { key, value, header } of records)
    into.append(key && within(key), value && within(value), [{ name: HEADER, value: within(header) }]);
  return into;
}

/** Numbers that look random, and are the same in each run. */
function numbersFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Lengths around which the encoding of a length changes, and others. */
const LENGTHS = [0, 1, 63, 64, 65, 127, 128, 8_191, 8_192, 8_193, 20_000];

function bytesOf(next: (below: number) => number, most = LENGTHS.length): Buffer {
  const length = next(3) === 0 ? (LENGTHS[next(most)] ?? 0) : next(300);
  return Buffer.from(Array.from({ length }, () => next(256)));
}

/** Buffers are compared byte by byte by an expectation: a thousand times slower. */
const textOfRecord = (record: { key: Buffer | null; value: Buffer | null; header: Buffer | undefined }): string =>
  [record.key, record.value, record.header].map((part) => part?.toString('hex')).join('/');

describe('a record batch', () => {
  test('reads as it was written, whatever its keys and values are', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const next = numbersFrom(seed);
      const records = Array.from({ length: 1 + next(60) }, (): Plain => ({
        key: next(5) === 0 ? null : bytesOf(next),
        value: next(20) === 0 ? null : bytesOf(next),
        header: bytesOf(next, 7),
      }));
      const writer = write(records);
      const identity = { producerId: String(2n ** 63n - BigInt(seed)), producerEpoch: seed, sequence: 2 ** 31 - seed };
      const bytes = writer.finish(identity, 1_800_000_000_000 + seed);
      const read = await decodeBatch(bytes);
      expect(read).toMatchObject({
        isSound: true,
        identity,
        lastOffsetDelta: records.length - 1,
        maxTimestamp: 1_800_000_000_000 + seed,
      });
      expect(read.records.map(textOfRecord)).toEqual(records.map(textOfRecord));
      expect(read.records.map(({ offset }) => offset)).toEqual(records.map((_, index) => index));
      expect(new Set(read.records.map(({ timestamp }) => timestamp))).toEqual(new Set([1_800_000_000_000 + seed]));
      const payload = records.reduce(
        (sum, one) => sum + [one.key, one.value, one.header].reduce((all, part) => all + (part?.length ?? 0), 0),
        0,
      );
      expect(bytes.length).toBeLessThanOrEqual(61 + payload + records.length * RECORD_BYTES);
      expect(writer.size).toBe(bytes.length);
    }
  });

  test('may have more records than two bytes count', async () => {
    const writer = new RecordBatchWriter();
    for (let i = 0; i < 20_000; i++)
      writer.append(spanOf(`[${i}]`), spanOf(String(i)), [{ name: HEADER, value: spanOf('h') }]);
    const { records, isSound, lastOffsetDelta } = await decodeBatch(writer.finish(HERE, 0));
    expect(isSound).toBe(true);
    expect(lastOffsetDelta).toBe(19_999);
    expect(records.map(({ offset, value }) => `${offset} ${String(value)}`)).toEqual(
      Array.from({ length: 20_000 }, (_, i) => `${i} ${i}`),
    );
  });

  test('may hold a value of many megabytes', async () => {
    const value = Buffer.alloc(3_000_000, 'value');
    const { records, isSound } = await decodeBatch(
      write([{ key: Buffer.from('[1]'), value, header: Buffer.from('h') }]).finish(HERE, 0),
    );
    expect(isSound).toBe(true);
    expect(records[0]?.value?.equals(value)).toBe(true);
  });

  test('is empty again when it was cleared, and finished again for another producer', async () => {
    const record = (text: string): Plain => ({ key: null, value: Buffer.from(text), header: Buffer.from('h') });
    const writer = write([record('old'), record('older')]);
    writer.finish(HERE, 1);
    writer.clear();
    expect(writer.records).toBe(0);
    write([record('new')], writer).finish(HERE, 2);
    const other = { producerId: '99', producerEpoch: 0, sequence: 5 };
    const read = await decodeBatch(writer.finish(other, 3));
    expect(read).toMatchObject({ isSound: true, identity: other, maxTimestamp: 3 });
    expect(read.records.map(({ value }) => String(value))).toEqual(['new']);
  });

  test('comes apart into halves that hold the same records', async () => {
    for (const count of [2, 3, 200]) {
      const records = Array.from({ length: count }, (_, i): Plain => ({
        key: i % 4 === 0 ? null : Buffer.from(`[${i}]`),
        value: Buffer.from('v'.repeat(i * 10)),
        header: Buffer.from(`1/1/${i}/1/${i}`),
      }));
      const halves = write(records).halves();
      expect(halves.map((half) => half.records)).toEqual([Math.ceil(count / 2), Math.floor(count / 2)]);
      const read = await Promise.all(halves.map((half) => decodeBatch(half.finish(HERE, 0))));
      expect(read.every(({ isSound }) => isSound)).toBe(true);
      expect(read.flatMap((half) => half.records.map(textOfRecord))).toEqual(records.map(textOfRecord));
      expect(read[1]?.records[0]?.offset).toBe(0);
    }
  });
});
