import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { SendNotConfirmed } from '../../src/kafka/client/errors.js';
import { requireWritten } from '../../src/kafka/client/producer-session.js';
import { decodeProduce, encodeProduce } from '../../src/kafka/protocol/requests.js';

const require = createRequire(import.meta.url);
const theirRequest = require('kafkajs/src/protocol/requests/produce/v7/request.js') as (request: object) => {
  encode(): Promise<{ readonly buffer: Buffer }>;
};
const Encoder = require('kafkajs/src/protocol/encoder.js') as new () => Record<string, (value: unknown) => never> & {
  readonly buffer: Buffer;
};

function responseOf(
  topics: readonly { name: string; partitions: readonly (readonly [number, number, number])[] }[],
): Buffer {
  const encoder = new Encoder();
  encoder['writeInt32']?.(topics.length);
  for (const { name, partitions } of topics) {
    encoder['writeString']?.(name);
    encoder['writeInt32']?.(partitions.length);
    for (const [partition, code, offset] of partitions) {
      encoder['writeInt32']?.(partition);
      encoder['writeInt16']?.(code);
      for (const number of [offset, -1, 0]) encoder['writeInt64']?.(number);
    }
  }
  encoder['writeInt32']?.(250);
  return encoder.buffer;
}

describe('a Produce request', () => {
  test.each(['t', 'orders.über'])('for %s begins as that of kafkajs', async (topic) => {
    const messages = [{ key: null, value: Buffer.from('value') }];
    const topicData = [{ topic, partitions: [{ partition: 3, firstSequence: 0, messages }] }];
    const { buffer } = await theirRequest({ acks: -1, timeout: 30_000, topicData }).encode();
    const ours = encodeProduce(topic, 3, {
      batchBytes: buffer.readInt32BE(22 + Buffer.byteLength(topic)),
      acksMs: 30_000,
    });
    expect(ours).toEqual(buffer.subarray(0, ours.length));
    expect(ours.readInt32BE(ours.length - 4)).toBe(buffer.length - ours.length);
  });
});

describe('the response to it', () => {
  test('is read to its end', () => {
    const response = responseOf([
      {
        name: 'first',
        partitions: [
          [0, 0, 77],
          [4, 6, -1],
        ],
      },
      { name: 'zweit-ü', partitions: [[1, 10, -1]] },
    ]);
    expect(decodeProduce(response)).toEqual({
      throttleMs: 250,
      results: [
        { topic: 'first', partition: 0, errorCode: 0, baseOffset: 77n },
        { topic: 'first', partition: 4, errorCode: 6, baseOffset: -1n },
        { topic: 'zweit-ü', partition: 1, errorCode: 10, baseOffset: -1n },
      ],
    });
    expect(() => decodeProduce(response.subarray(0, 40))).toThrow(RangeError);
  });

  test.each([
    ['nothing at all', []],
    ['another partition', [{ topic: 't', partition: 1, errorCode: 0, baseOffset: 5n }]],
    ['another topic', [{ topic: 'u', partition: 0, errorCode: 0, baseOffset: 5n }]],
    ['no offset', [{ topic: 't', partition: 0, errorCode: 0, baseOffset: -1n }]],
  ])('confirms nothing when it says %s', (_, results) => {
    expect(() => requireWritten(results, 't', 0)).toThrow(SendNotConfirmed);
  });

  test.each([
    [6, 'NOT_LEADER_FOR_PARTITION'],
    [10, 'MESSAGE_TOO_LARGE'],
    [45, 'OUT_OF_ORDER_SEQUENCE_NUMBER'],
  ])('is the error of its code %i', (errorCode, type) => {
    const results = [{ topic: 't', partition: 0, errorCode, baseOffset: 5n }];
    expect(() => requireWritten(results, 't', 0)).toThrow(expect.objectContaining({ type }));
  });
});
