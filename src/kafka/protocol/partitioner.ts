import type { ByteRange } from './bytes.js';

const SEED = 0x9747b28c;
const MULTIPLIER = 0x5bd1e995;
const ROTATION = 24;

/**
 * The partition of a key, as Kafka's own clients choose it: `toPositive(murmur2(key)) mod partitions`. Chosen here and sent
 * explicitly: a retry of the client's own may run its partitioner again, on other metadata.
 */
export function partitionOf(key: ByteRange, partitions: number): number {
  return partitions === 1 ? 0 : (murmur2(key) & 0x7fff_ffff) % partitions;
}

/** Kafka's murmur2 (`org.apache.kafka.common.utils.Utils`), a signed 32-bit number. */
export function murmur2({ bytes: data, start, end }: ByteRange): number {
  const length = end - start;
  let hash = SEED ^ length;
  const whole = end - (length % 4);
  for (let i = start; i < whole; i += 4) {
    let word = byte(data, i) | (byte(data, i + 1) << 8) | (byte(data, i + 2) << 16) | (byte(data, i + 3) << 24);
    word = Math.imul(word, MULTIPLIER);
    word ^= word >>> ROTATION;
    word = Math.imul(word, MULTIPLIER);
    hash = Math.imul(hash, MULTIPLIER) ^ word;
  }
  if (end > whole) {
    for (let i = end - 1; i >= whole; i--) hash ^= byte(data, i) << (8 * (i - whole));
    hash = Math.imul(hash, MULTIPLIER);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, MULTIPLIER);
  return hash ^ (hash >>> 15);
}

function byte(data: Uint8Array, index: number): number {
  return data[index] ?? 0;
}
