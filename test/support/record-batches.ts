import { createRequire } from 'node:module';

/** kafkajs's own encoder: what we read must be what somebody else writes. */
const require = createRequire(import.meta.url);
const { RecordBatch } = require('kafkajs/src/protocol/recordBatch/v0') as {
  readonly RecordBatch: (batch: object) => Promise<{ buffer: Buffer }>;
};
const encodeRecord = require('kafkajs/src/protocol/recordBatch/record/v0') as (record: object) => object;
const Long = require('kafkajs/src/utils/long') as { fromValue(value: number): unknown };

export interface TestRecord {
  readonly key?: Buffer | null;
  readonly value: Buffer | null;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly offsetDelta?: number;
}

export interface TestBatch {
  readonly first: number;
  readonly records: readonly TestRecord[];
  readonly gzip?: boolean;
  readonly timestampMs?: number;
  readonly lastOffsetDelta?: number;
}

export async function encodeBatch({
  first,
  records,
  gzip,
  timestampMs = 1_700_000_000_000,
  ...more
}: TestBatch): Promise<Buffer> {
  const encoded = await RecordBatch({
    compression: gzip === true ? 1 : 0,
    firstOffset: Long.fromValue(first),
    firstTimestamp: timestampMs,
    maxTimestamp: timestampMs + 5,
    lastOffsetDelta: more.lastOffsetDelta ?? records.length - 1,
    records: records.map(({ key = null, value, headers = {}, offsetDelta }, index) =>
      encodeRecord({ offsetDelta: offsetDelta ?? index, timestampDelta: index * 1_000_000_000, key, value, headers }),
    ),
  });
  return encoded.buffer;
}

/** Messages of the old form, one row each: `first` is the offset and the row's id. */
export function ourBatch(first: number, count: number, more: Partial<TestBatch> = {}): Promise<Buffer> {
  const records = Array.from({ length: count }, (_, index) => ({
    key: Buffer.from(`[${first + index}]`),
    value: Buffer.from(`{"id":${first + index}}`),
    headers: { pg2click: `1/1/${first + index}/1/${first + index}` },
  }));
  return encodeBatch({ first, records, ...more });
}

/** Sets the attributes of an encoded batch: its codec, and whether it is a mark of a transaction. */
export function withAttributes(batch: Buffer, attributes: number): Buffer {
  const changed = Buffer.from(batch);
  changed.writeInt16BE(attributes, 21);
  return changed;
}
