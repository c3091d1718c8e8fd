import kafkajs, { type Admin } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { classifyKafka, protocolTypeOf } from '../failure/classify-kafka.js';
import { Failure } from '../failure/failure.js';

// kafkajs is CommonJS, and Node finds only some of its names by itself.
const { ConfigResourceTypes } = kafkajs;

export { topicNameFor } from './topic-name.js';

/** How often a topic is asked for before it counts as missing: brokers learn of a new one a moment later. */
const LOOKS = 10;
const BETWEEN_LOOKS_MS = 100;
const CREATE_TIMEOUT_MS = 15_000;

export interface TopicWish {
  readonly topic: string;
  /** Of a topic that is made now; 1 when absent. */
  readonly partitions?: number | undefined;
  /** How long Kafka keeps messages, in milliseconds, -1 for ever: the longest outage of ClickHouse that is survived. */
  readonly retentionMs: number;
  /** `max.message.bytes`; the broker's default (1 MB) when absent. */
  readonly maxMessageBytes?: number | undefined;
}

export interface TopicState {
  readonly partitions: number;
  /** By partition: the first offset there is, and the next one to be written. Decimal. */
  readonly offsets: Readonly<Record<string, { readonly low: string; readonly high: string }>>;
}

/**
 * Makes the topic unless it is there. Three replicas, two of them in sync for every write, where the cluster has the brokers.
 * The settings of a topic that is there are left alone.
 * @throws Failure `Misconfigured` for a compacted topic and for a name Kafka refuses, `Unauthorized`, `BrokerUnavailable`
 */
export async function ensureTopic(admin: Admin, wish: TopicWish): Promise<{ partitions: number; created: boolean }> {
  const { topic } = wish;
  const known = await asking(`Looking for topic ${topic}`, () => countPartitions(admin, topic, 1));
  const created = known === undefined && (await createTopic(admin, wish));
  const partitions = known ?? (await asking(`Looking for topic ${topic}`, () => countPartitions(admin, topic, LOOKS)));
  if (partitions === undefined)
    throw new Failure('BrokerUnavailable', { message: `The topic ${topic} was made, but no broker knows of it yet.` });
  if (!created) await refuseCompaction(admin, topic);
  return { partitions, created };
}

/** @returns undefined when there is no such topic. @throws Failure `BrokerUnavailable`, `Unauthorized` */
export async function topicState(admin: Admin, topic: string): Promise<TopicState | undefined> {
  return asking(`Asking for the offsets of topic ${topic}`, async () => {
    const partitions = await countPartitions(admin, topic, LOOKS);
    if (partitions === undefined) return undefined;
    const offsets = await admin.fetchTopicOffsets(topic);
    return {
      partitions,
      offsets: Object.fromEntries(offsets.map(({ partition, low, high }) => [String(partition), { low, high }])),
    };
  });
}

/** Idempotent: a topic that is gone is deleted. @throws Failure `BrokerUnavailable`, `Unauthorized`, `Misconfigured` */
export async function deleteTopic(admin: Admin, topic: string): Promise<void> {
  await asking(`Deleting topic ${topic}`, async () => {
    if ((await countPartitions(admin, topic, 1)) === undefined) return;
    try {
      await admin.deleteTopics({ topics: [topic] });
    } catch (error) {
      if (protocolTypeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
    }
  });
}

async function createTopic(admin: Admin, wish: TopicWish): Promise<boolean> {
  const { topic } = wish;
  try {
    const replicas = Math.min(3, (await admin.describeCluster()).brokers.length);
    const config: Record<string, string> = {
      'cleanup.policy': 'delete',
      'retention.ms': String(wish.retentionMs),
      // A replica that lags must not become leader: it would take confirmed messages away.
      'unclean.leader.election.enable': 'false',
      ...(replicas >= 3 ? { 'min.insync.replicas': '2' } : {}),
      ...(wish.maxMessageBytes === undefined ? {} : { 'max.message.bytes': String(wish.maxMessageBytes) }),
    };
    return await admin.createTopics({
      topics: [
        {
          topic,
          numPartitions: wish.partitions ?? 1,
          replicationFactor: replicas,
          configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
        },
      ],
      timeout: CREATE_TIMEOUT_MS,
      // kafkajs waits for leaders, but fails while the broker that it asks has not heard of the topic at all.
      waitForLeaders: false,
    });
  } catch (error) {
    if (protocolTypeOf(error) === 'INVALID_TOPIC_EXCEPTION')
      throw new Failure('Misconfigured', {
        message: `Kafka refuses the topic name ${topic}: it is not valid, or differs from another topic only in "." and "_".`,
        remedy: 'Remove the table, then add it with --topic and another name.',
        cause: error,
      });
    throw classifyKafka(error, `Creating topic ${topic}`);
  }
}

async function refuseCompaction(admin: Admin, topic: string): Promise<void> {
  const policy = await asking(`Reading the settings of topic ${topic}`, async () => {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames: ['cleanup.policy'] }],
    });
    return resources[0]?.configEntries.find((entry) => entry.configName === 'cleanup.policy')?.configValue ?? '';
  });
  if (policy.split(',').includes('compact'))
    throw new Failure('Misconfigured', {
      message: `The topic ${topic} is compacted: Kafka removes messages from the middle of it, which cannot be told from a loss.`,
      remedy: 'Set its cleanup.policy to delete, or choose another topic.',
    });
}

/** @returns undefined when it was unknown at every look */
async function countPartitions(admin: Admin, topic: string, looks: number): Promise<number | undefined> {
  for (let look = 1; ; look++) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      return topics.find(({ name }) => name === topic)?.partitions.length;
    } catch (error) {
      if (protocolTypeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
      if (look >= looks) return undefined;
    }
    await sleep(BETWEEN_LOOKS_MS);
  }
}

async function asking<T>(what: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw classifyKafka(error, what);
  }
}
