import kafkajs, { type Admin, type Kafka } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { classifyKafka, protocolTypeOf } from '../failure/classify-kafka.js';
import { Failure } from '../failure/failure.js';

// kafkajs is CommonJS, and Node finds only some of its names by itself.
const { ConfigResourceTypes } = kafkajs;

/** A topic counts as missing after so many attempts: brokers learn of a new one a moment later. */
const ATTEMPTS = 10;
const BETWEEN_ATTEMPTS_MS = 100;
const CREATE_TIMEOUT_MS = 15_000;

export interface TopicSpec {
  readonly topic: string;
  /** Of a topic that is created; 1 when absent. */
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
 * One piece of work over an admin connection of its own. Not over one that is kept: kafkajs refreshes the metadata of every
 * topic that it was ever asked about, and fails for all of them once one is deleted.
 * @throws Failure `BrokerUnavailable` and its like; what `use` throws
 */
export async function withAdmin<T>(kafka: Kafka, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = kafka.admin();
  try {
    await classified('Connecting', () => admin.connect());
    return await use(admin);
  } finally {
    await admin.disconnect().catch(() => undefined);
  }
}

/**
 * What a topic should have where the broker takes it: managed brokers refuse some. A replica that lags must not become leader, for it
 * would take confirmed messages away; the broker's own limit of bytes must not delete what is not loaded; the broker's own compression
 * may be one that is not read here; and a worker's clock that is wrong must not age a message, or make the broker refuse it.
 */
const WISHES: Readonly<Record<string, string>> = {
  'unclean.leader.election.enable': 'false',
  'retention.bytes': '-1',
  'compression.type': 'producer',
  'message.timestamp.type': 'LogAppendTime',
};

export interface EnsuredTopic {
  readonly partitions: number;
  readonly created: boolean;
  /** Settings that the broker did not take: it has its own for them. */
  readonly refused?: readonly string[];
  /** Settings by which a topic that was there loses messages sooner than it should, with their values: `retention.ms=60000`. */
  readonly shorter?: readonly string[];
}

/**
 * Creates the topic unless it is there. Three replicas, two of them in sync for every write, where the cluster has the brokers.
 * The settings of a topic that is there are left alone.
 * @param wishes settings that a new topic should have, and may lack
 * @throws Failure `Misconfigured` for a compacted topic, for one with a compression that is not read, and for a name Kafka refuses, `Unauthorized`, `BrokerUnavailable`
 */
export async function ensureTopic(admin: Admin, spec: TopicSpec, wishes = WISHES): Promise<EnsuredTopic> {
  const { topic } = spec;
  const known = await classified(`Looking for topic ${topic}`, () => countPartitions(admin, topic, 1));
  const { created, refused } =
    known === undefined ? await createTopic(admin, spec, wishes) : { created: false, refused: [] };
  const partitions =
    known ?? (await classified(`Looking for topic ${topic}`, () => countPartitions(admin, topic, ATTEMPTS)));
  if (partitions === undefined)
    throw new Failure('BrokerUnavailable', {
      message: `The topic ${topic} was created, but no broker knows of it yet.`,
    });
  // The broker's own compression holds where it did not take ours.
  const mayCompress = !created || refused.includes('compression.type');
  const settings = mayCompress ? await requireReadable(admin, topic) : undefined;
  const shorter = created || settings === undefined ? [] : shorterThan(settings, spec.retentionMs);
  return {
    partitions,
    created,
    ...(refused.length === 0 ? {} : { refused }),
    ...(shorter.length === 0 ? {} : { shorter }),
  };
}

/**
 * A topic that others write: it is there, and stays as it is.
 * @param ways what to do where it is not there, and where it cannot be loaded
 * @returns its partitions
 * @throws Failure `Misconfigured` for one that is not there, is compacted, or has several partitions
 */
export async function requireForeignTopic(
  admin: Admin,
  topic: string,
  ways: { readonly missing: string; readonly unfit: string },
): Promise<number> {
  const partitions = await classified(`Looking for topic ${topic}`, () => countPartitions(admin, topic, 1));
  if (partitions === undefined)
    throw new Failure('Misconfigured', { message: `There is no topic ${topic}.`, remedy: ways.missing });
  await requireReadable(admin, topic);
  if (partitions === 1) return partitions;
  throw new Failure('Misconfigured', {
    message: `The topic ${topic} has ${partitions} partitions, and only offsets of one say which change came first.`,
    remedy: `Let Debezium write into a topic with one partition. ${ways.unfit}`,
  });
}

/** @returns undefined when there is no such topic. @throws Failure `BrokerUnavailable`, `Unauthorized` */
export async function topicState(admin: Admin, topic: string): Promise<TopicState | undefined> {
  return classified(`Asking for the offsets of topic ${topic}`, async () => {
    const partitions = await countPartitions(admin, topic, ATTEMPTS);
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
  await classified(`Deleting topic ${topic}`, async () => {
    if ((await countPartitions(admin, topic, 1)) === undefined) return;
    try {
      await admin.deleteTopics({ topics: [topic] });
    } catch (error) {
      if (protocolTypeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
    }
  });
}

/** What a broker, or the policy of its cluster, answers about a setting that it does not take. */
const REFUSALS: readonly (string | undefined)[] = ['INVALID_CONFIG', 'POLICY_VIOLATION'];

async function createTopic(
  admin: Admin,
  spec: TopicSpec,
  wishes: Readonly<Record<string, string>>,
): Promise<{ created: boolean; refused: readonly string[] }> {
  const { topic } = spec;
  try {
    const replicas = Math.min(3, (await admin.describeCluster()).brokers.length);
    const needed: Record<string, string> = {
      'cleanup.policy': 'delete',
      'retention.ms': String(spec.retentionMs),
      ...(replicas >= 3 ? { 'min.insync.replicas': '2' } : {}),
      ...(spec.maxMessageBytes === undefined ? {} : { 'max.message.bytes': String(spec.maxMessageBytes) }),
    };
    const create = (config: Readonly<Record<string, string>>, validateOnly = false): Promise<boolean> =>
      admin.createTopics({
        topics: [
          {
            topic,
            numPartitions: spec.partitions ?? 1,
            replicationFactor: replicas,
            configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
          },
        ],
        timeout: CREATE_TIMEOUT_MS,
        // kafkajs waits for leaders, but fails while the broker that it queries does not know the topic at all.
        waitForLeaders: false,
        validateOnly,
      });
    try {
      return { created: await create({ ...needed, ...wishes }), refused: [] };
    } catch (error) {
      if (!REFUSALS.includes(protocolTypeOf(error))) throw error;
    }
    // Each is tried alone, so that one which is refused takes no other away.
    const taken: Record<string, string> = {};
    for (const [name, value] of Object.entries(wishes))
      try {
        await create({ ...needed, [name]: value }, true);
        taken[name] = value;
      } catch (error) {
        if (!REFUSALS.includes(protocolTypeOf(error))) throw error;
      }
    const created = await create({ ...needed, ...taken });
    return { created, refused: Object.keys(wishes).filter((name) => !(name in taken)) };
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

/** Codecs of Kafka that are read here, and what leaves it to the sender. */
const READ_CODECS: readonly (string | undefined)[] = [undefined, 'producer', 'uncompressed', 'gzip'];

/**
 * @returns the settings of the topic that say how long it keeps its messages
 * @throws Failure `Misconfigured` for one that is compacted, or that Kafka compresses by itself in a way that is not read here
 */
async function requireReadable(admin: Admin, topic: string): Promise<ReadonlyMap<string, string>> {
  const settings = await classified(`Reading the settings of topic ${topic}`, async () => {
    const configNames = ['cleanup.policy', 'compression.type', 'retention.ms', 'retention.bytes'];
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configNames }],
    });
    const entries = resources[0]?.configEntries ?? [];
    return new Map(entries.map(({ configName, configValue }) => [configName, configValue]));
  });
  if (settings.get('cleanup.policy')?.split(',').includes('compact'))
    throw new Failure('Misconfigured', {
      message: `The topic ${topic} is compacted: Kafka removes messages from the middle of it, which looks like a loss.`,
      remedy:
        'Set its cleanup.policy to delete, then resume the table. Or remove the table, then add it with --topic and another name.',
    });
  const codec = settings.get('compression.type');
  if (!READ_CODECS.includes(codec))
    throw new Failure('Misconfigured', {
      message: `The topic ${topic} has compression.type=${codec}, by itself or from the broker: Kafka stores messages in it in a form that pg2click does not read.`,
      remedy:
        'Set compression.type=producer on the topic, then resume the table. Or remove the table, then add it with --topic and another name.',
    });
  return settings;
}

function shorterThan(settings: ReadonlyMap<string, string>, retentionMs: number): string[] {
  const [ms, bytes] = ['retention.ms', 'retention.bytes'].map((name) => Number(settings.get(name) ?? -1));
  const isShort = ms !== undefined && ms >= 0 && (retentionMs < 0 || ms < retentionMs);
  const isSmall = bytes !== undefined && bytes >= 0;
  return [...(isShort ? [`retention.ms=${ms}`] : []), ...(isSmall ? [`retention.bytes=${bytes}`] : [])];
}

/** @returns undefined when it was unknown at every attempt */
async function countPartitions(admin: Admin, topic: string, attempts: number): Promise<number | undefined> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      return topics.find(({ name }) => name === topic)?.partitions.length;
    } catch (error) {
      if (protocolTypeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
      if (attempt >= attempts) return undefined;
    }
    await sleep(BETWEEN_ATTEMPTS_MS);
  }
}

async function classified<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw classifyKafka(error, what);
  }
}
