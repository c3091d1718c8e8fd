import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { murmur2, partitionOf } from '../../src/kafka/protocol/partitioner.js';
import { spanOf } from '../support/spans.js';

describe('murmur2', () => {
  // The vectors of Kafka's own test, org.apache.kafka.common.utils.UtilsTest.
  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
    ['', 275646681],
  ])('gives what the Java client gives for %j', (text, hash) => {
    expect(murmur2(spanOf(text))).toBe(hash);
  });

  test('gives what kafkajs gives, for every length of tail and for bytes above 127', () => {
    const theirs = createRequire(import.meta.url)('kafkajs/src/producer/partitioners/default/murmur2.js') as (
      key: Buffer,
    ) => number;
    for (let length = 0; length < 40; length++) {
      const key = Buffer.from(Array.from({ length }, (_, index) => (index * 97 + length * 31) % 256));
      // Not at the beginning of its bytes.
      const bytes = Buffer.concat([Buffer.from([7]), key, Buffer.from([9])]);
      expect(murmur2({ bytes, start: 1, end: 1 + length })).toBe(theirs(key));
    }
  });
});

describe('partitionOf', () => {
  test('stays within the partitions, also for a negative hash', () => {
    expect(murmur2(spanOf('foobar'))).toBeLessThan(0);
    for (const partitions of [1, 2, 3, 12]) {
      const partition = partitionOf(spanOf('foobar'), partitions);
      expect(partition).toBeGreaterThanOrEqual(0);
      expect(partition).toBeLessThan(partitions);
    }
  });

  test('uses all partitions', () => {
    const used = new Set(Array.from({ length: 100 }, (_, id) => partitionOf(spanOf(`[${id}]`), 8)));
    expect(used.size).toBe(8);
  });
});
