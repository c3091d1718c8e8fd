import type { Kafka } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { classifyKafka, protocolTypeOf } from '../failure/classify-kafka.js';
import { createCluster, hangUp, hangUpAll, type KafkaBroker, type KafkaCluster } from './cluster.js';
import { silence, withDeadline } from './deadline.js';
import type { TopicState } from './topic.js';

/** A question to brokers that are up takes milliseconds. */
const PATIENCE_MS = 10_000;
/** How often a topic is asked for before it counts as missing: brokers learn of a new one, or start, a moment later. */
const LOOKS = 10;
const BETWEEN_LOOKS_MS = 100;
const EARLIEST = -2;
const LATEST = -1;

/** What Kafka has of a topic, and where. */
export interface TopicPlace extends TopicState {
  /** By partition: the number of the broker that leads it. */
  readonly leaders: Readonly<Record<string, number>>;
}

interface Connection {
  readonly cluster: KafkaCluster;
  /** kafkajs keeps the metadata of one question at a time. */
  turn: Promise<unknown>;
}

/**
 * Connections to the brokers for reading: two sockets a broker, however many topics there are. What was silent or broken is thrown away,
 * and made anew by whoever asks next.
 */
export class Brokers {
  readonly #kafka: Kafka;
  #connecting: Promise<Connection> | undefined;
  /** When any question was answered last, `Date.now()`. */
  #answeredAtMs = 0;
  #closed: Error | undefined;

  constructor(kafka: Kafka) {
    this.#kafka = kafka;
  }

  /**
   * @returns undefined when there is no such topic
   * @throws Failure `BrokerUnavailable` after 10 s without an answer, `Unauthorized`
   */
  async place(topic: string): Promise<TopicPlace | undefined> {
    const what = `Looking for topic ${topic}`;
    const startedAtMs = Date.now();
    let asked: Promise<Connection> | undefined;
    const asking = (async () => {
      for (let looks = 1; ; looks++) {
        asked = this.#connected();
        try {
          const place = await lookFor(await asked, topic);
          this.#answeredAtMs = Date.now();
          return place;
        } catch (error) {
          const isMissing = protocolTypeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION';
          if (isMissing && looks >= LOOKS) return undefined;
          const isWorthAnotherLook = isMissing || (error as { retriable?: unknown }).retriable === true;
          if (!isWorthAnotherLook || Date.now() - startedAtMs > PATIENCE_MS) throw classifyKafka(error, what);
        }
        await sleep(BETWEEN_LOOKS_MS);
      }
    })();
    const late = silence(what, PATIENCE_MS);
    for (;;) {
      // After a broker's restart a thousand tables ask at once: as long as others are answered, this one waits for its turn.
      const leftMs = Math.max(startedAtMs, this.#answeredAtMs) + PATIENCE_MS - Date.now();
      if (leftMs <= 0) break;
      try {
        return await withDeadline(asking, leftMs, () => late);
      } catch (error) {
        if (error !== late) throw error;
      }
    }
    if (asked === this.#connecting) this.#discard(late);
    throw late;
  }

  /** @param topic one that it leads */
  async get(node: number, topic: string): Promise<KafkaBroker> {
    const connection = await this.#connected();
    const { brokerPool } = connection.cluster;
    if (brokerPool.brokers[node] === undefined) await inTurn(connection, () => brokerPool.refreshMetadata([topic]));
    return brokerPool.findBroker({ nodeId: node });
  }

  /** Ends the connections to one broker at once. */
  async hangUp(broker: KafkaBroker, reason: Error): Promise<void> {
    const connection = await this.#connecting?.catch(() => undefined);
    if (connection !== undefined) hangUp(connection.cluster, broker, reason);
  }

  /** At once: what is being asked fails with the reason. */
  close(reason: Error): void {
    this.#closed = reason;
    this.#discard(reason);
  }

  #connected(): Promise<Connection> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (this.#connecting !== undefined) return this.#connecting;
    const cluster = createCluster(this.#kafka);
    const connecting = cluster.connect().then(
      () => {
        // It was given up while kafkajs was still trying.
        if (this.#connecting !== connecting) hangUpAll(cluster, new Error('given up'));
        return { cluster, turn: Promise.resolve() };
      },
      (error: unknown) => {
        if (this.#connecting === connecting) this.#connecting = undefined;
        throw error;
      },
    );
    this.#connecting = connecting;
    return connecting;
  }

  #discard(reason: Error): void {
    const connecting = this.#connecting;
    this.#connecting = undefined;
    connecting?.then(({ cluster }) => hangUpAll(cluster, reason)).catch(() => undefined);
  }
}

async function inTurn(connection: Connection, ask: () => Promise<void>): Promise<void> {
  const asking = connection.turn.then(ask);
  connection.turn = asking.catch(() => undefined);
  await asking;
}

async function lookFor(connection: Connection, topic: string): Promise<TopicPlace> {
  const { cluster } = connection;
  const leaders: Record<string, number> = {};
  await inTurn(connection, async () => {
    await cluster.brokerPool.refreshMetadata([topic]);
    for (const { partitionId, leader } of cluster.findTopicPartitionMetadata(topic)) leaders[partitionId] = leader;
  });
  const partitions = Object.keys(leaders);
  const offsets: Record<string, { low: string; high: string }> = {};
  for (const partition of partitions) offsets[partition] = { low: '0', high: '0' };
  const ofBrokers = [...new Set(Object.values(leaders))].map(async (node) => {
    const broker = await cluster.brokerPool.findBroker({ nodeId: node });
    const led = partitions.filter((partition) => leaders[partition] === node).map(Number);
    const ask = async (timestamp: -1 | -2): Promise<{ partition: number; offset: string }[]> => {
      const asked = led.map((partition) => ({ partition, timestamp }));
      const answer = await broker.listOffsets({
        tableId: -1,
        isolationLevel: 0,
        topics: [{ topic, partitions: asked }],
      });
      return answer.responses.flatMap((response) => response.partitions);
    };
    const [lows, highs] = await Promise.all([ask(EARLIEST), ask(LATEST)]);
    for (const { partition, offset } of lows) offsets[partition] = { low: offset, high: offset };
    for (const { partition, offset } of highs)
      offsets[partition] = { low: offsets[partition]?.low ?? '0', high: offset };
  });
  await Promise.all(ofBrokers);
  return { partitions: partitions.length, offsets, leaders };
}
