import { createRequire } from 'node:module';
import type { BatchIdentity } from '../../src/kafka/protocol/record-batch-writer.js';

const require = createRequire(import.meta.url);
const Decoder = require('kafkajs/src/protocol/decoder.js') as new (bytes: Buffer) => object;
const decode = require('kafkajs/src/protocol/recordBatch/v0/decoder.js') as (decoder: object) => Promise<{
  readonly firstSequence: number;
  readonly producerId: string;
  readonly producerEpoch: number;
  readonly lastOffsetDelta: number;
  readonly maxTimestamp: string;
  readonly records: readonly {
    readonly offset: string;
    readonly timestamp: string;
    readonly key: Buffer | null;
    readonly value: Buffer | null;
    readonly headers: Readonly<Record<string, Buffer>>;
  }[];
}>;
const checksum = require('kafkajs/src/protocol/recordBatch/crc32C/index.js') as (bytes: Buffer) => number;

/** Whoever sends what is only looked at. */
export const HERE: BatchIdentity = { producerId: '7', producerEpoch: 1, sequence: 0 };

export interface Decoded {
  readonly offset: number;
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly header: Buffer | undefined;
  readonly headers: Readonly<Record<string, Buffer>>;
}

/** A record batch as kafkajs reads it, which wrote none of ours. */
export async function decodeBatch(bytes: Buffer): Promise<{
  readonly identity: BatchIdentity;
  readonly lastOffsetDelta: number;
  readonly maxTimestamp: number;
  readonly isSound: boolean;
  readonly records: readonly Decoded[];
}> {
  // kafkajs checks neither of these two.
  const isSound = bytes.readUInt32BE(17) === checksum(bytes.subarray(21)) && bytes.readInt32BE(8) === bytes.length - 12;
  const batch = await decode(new Decoder(bytes));
  return {
    identity: {
      producerId: batch.producerId,
      producerEpoch: batch.producerEpoch,
      sequence: batch.firstSequence,
    },
    lastOffsetDelta: batch.lastOffsetDelta,
    maxTimestamp: Number(batch.maxTimestamp),
    isSound,
    records: batch.records.map(({ offset, timestamp, key, value, headers }) => ({
      offset: Number(offset),
      timestamp: Number(timestamp),
      key,
      value,
      header: headers['pg2click'],
      headers,
    })),
  };
}
