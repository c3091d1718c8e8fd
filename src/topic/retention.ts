import type { Admin } from 'kafkajs';
import { classifyKafka, protocolTypeOf } from '../failure/classify-kafka.js';

/** A reader of a topic, by its next offsets. */
export interface TopicPlace {
  readonly topic: string;
  /** By partition, decimal. */
  readonly offsets: Readonly<Record<string, string>>;
}

/** Messages older than this share of the retention should be loaded. */
const SHARE = 0.5;

/**
 * Which readers are far behind: a message that they have not read is older than half of the time that Kafka keeps it. One request a
 * topic. A topic that is gone is reported by its slices.
 * @param retentionMs KAFKA_RETENTION_MS; -1 for ever
 * @returns for each reader, in their order
 * @throws Failure `BrokerUnavailable`, `Unauthorized`
 */
export async function findLate(admin: Admin, readers: readonly TopicPlace[], retentionMs: number): Promise<boolean[]> {
  if (retentionMs < 0) return readers.map(() => false);
  const before = Date.now() - retentionMs * SHARE;
  const topics = [...new Set(readers.map(({ topic }) => topic))];
  const firstYoung = new Map<string, ReadonlyMap<string, bigint>>();
  for (const topic of topics) firstYoung.set(topic, await offsetsAt(admin, topic, before));
  return readers.map(({ topic, offsets }) =>
    Object.entries(offsets).some(([partition, next]) => BigInt(next) < (firstYoung.get(topic)?.get(partition) ?? 0n)),
  );
}

/** By partition: the first offset that was sent since; the end where none was. */
async function offsetsAt(admin: Admin, topic: string, sinceMs: number): Promise<ReadonlyMap<string, bigint>> {
  try {
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, Math.floor(sinceMs));
    return new Map(found.map(({ partition, offset }) => [String(partition), BigInt(offset)]));
  } catch (error) {
    if (protocolTypeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION') return new Map();
    throw classifyKafka(error, `Looking for old messages in topic ${topic}`);
  }
}
