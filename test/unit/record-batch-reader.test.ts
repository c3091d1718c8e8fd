import { describe, expect, test } from 'vitest';
import {
  RecordCursor,
  splitBatches,
  UnreadableRecords,
  UnsupportedFormat,
} from '../../src/kafka/protocol/record-batch-reader.js';
import { encodeBatch, ourBatch, withAttributes, type TestRecord } from '../support/record-batches.js';

const HEADER = Buffer.from('pg2click');

function readAll(set: Buffer): { offset: number; value: string | null; header: string; timestampMs: number }[] {
  const cursor = new RecordCursor('t/0');
  return [...splitBatches(set, 't/0')].flatMap((batch) => {
    cursor.open(batch);
    const found = [];
    while (cursor.next()) {
      const { bytes, offset, timestampMs, valueStart, valueEnd } = cursor;
      const value = valueStart < 0 ? null : bytes.toString('utf8', valueStart, valueEnd);
      found.push({ offset, value, header: cursor.headerText(HEADER), timestampMs });
    }
    return found;
  });
}

describe('a record batch', () => {
  test.each([false, true])('is read as kafkajs wrote it (gzip: %s)', async (gzip) => {
    const long = 'é'.repeat(100_000);
    const set = Buffer.concat([
      await encodeBatch({
        first: 2 ** 40,
        gzip,
        timestampMs: 1_234,
        records: [
          { value: Buffer.from(long), headers: { other: 'x', pg2click: '1/2/3/4/5' } },
          { key: Buffer.from('k'), value: Buffer.alloc(0), headers: { pg2click: '' } },
          { value: null },
          {
            key: Buffer.alloc(0),
            value: Buffer.from('v'),
            headers: { pg2clicks: 'no', pg2clic: 'no', pg3click: 'no' },
          },
        ],
      }),
      await encodeBatch({ first: 2 ** 40 + 4, gzip, timestampMs: 99, records: [{ value: Buffer.from('last') }] }),
    ]);
    expect(readAll(set)).toEqual([
      { offset: 2 ** 40, value: long, header: '1/2/3/4/5', timestampMs: 1_234 },
      { offset: 2 ** 40 + 1, value: '', header: '', timestampMs: 1_234 },
      { offset: 2 ** 40 + 2, value: null, header: '', timestampMs: 1_234 },
      { offset: 2 ** 40 + 3, value: 'v', header: '', timestampMs: 1_234 },
      { offset: 2 ** 40 + 4, value: 'last', header: '', timestampMs: 99 },
    ]);
  });

  test('has no header where there are two of the name', async () => {
    const records: TestRecord[] = [{ value: Buffer.from('v'), headers: { pg2click: ['1/1/0/1/1', '1/1/0/1/2'] } }];
    expect(readAll(await encodeBatch({ first: 0, records }))).toMatchObject([{ header: '' }]);
  });

  test('counts as sent when it was appended, where the topic says so', async () => {
    const batch = await encodeBatch({ first: 0, timestampMs: 100, records: [{ value: null }] });
    expect([...splitBatches(batch, 't/0')][0]?.timestampMs).toBe(100);
    expect([...splitBatches(withAttributes(batch, 0b1000), 't/0')][0]?.timestampMs).toBe(105);
  });

  test('that is cut off at the end is left for the next fetch, wherever it is cut', async () => {
    const [whole, cut] = [await ourBatch(0, 3), await ourBatch(3, 3)];
    for (const length of [0, 1, 11, 12, 17, 60, 61, cut.length - 1]) {
      const batches = [...splitBatches(Buffer.concat([whole, cut.subarray(0, length)]), 't/0')];
      expect(batches.map(({ first, last }) => [first, last])).toEqual([[0, 2]]);
    }
  });

  test('says whether it is a marker of a transaction', async () => {
    const batch = await ourBatch(0, 1);
    expect([...splitBatches(batch, 't/0')][0]?.isControl).toBe(false);
    expect([...splitBatches(withAttributes(batch, 0b110000), 't/0')][0]?.isControl).toBe(true);
  });

  test.each([
    [2, 'snappy'],
    [3, 'lz4'],
    [4, 'zstd'],
    [7, 'codec 7'],
  ])('of codec %i is refused by name', async (codec, name) => {
    const batch = withAttributes(await ourBatch(0, 1), codec);
    expect(() => [...splitBatches(batch, 't/0')]).toThrow(
      expect.objectContaining({ name: 'UnsupportedCodec', codec: name }),
    );
  });

  test.each([0, 1])('of the old format %i is refused', async (magic) => {
    const batch = await ourBatch(0, 1);
    batch[16] = magic;
    expect(() => [...splitBatches(batch, 't/0')]).toThrow(UnsupportedFormat);
  });

  test('whose lengths do not fit together is refused, and never read beyond its end', async () => {
    const batch = await ourBatch(0, 2);
    const tooLong = Buffer.from(batch);
    tooLong.writeInt32BE(3, 57);
    const tooShort = Buffer.from(batch);
    tooShort.writeInt32BE(40, 8);
    const noGzip = withAttributes(batch, 1);
    const garbled = Buffer.from(batch);
    garbled.fill(0xff, 61);
    for (const broken of [tooLong, tooShort, noGzip, garbled]) expect(() => readAll(broken)).toThrow(UnreadableRecords);
  });
});
