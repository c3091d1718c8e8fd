import type { Kafka } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ConnectionDiscarded, KafkaTimeout } from './errors.js';
import { Cluster, type Broker } from './kafkajs.js';
import { withTimeout } from './waiting.js';

/** Brokers that are up answer within milliseconds. */
const ANSWER_MS = 10_000;
/** A topic counts as missing after so many attempts: brokers learn of a new one, or start, a moment later. */
const ATTEMPTS = 10;
const BETWEEN_ATTEMPTS_MS = 100;
const EARLIEST = -2;
const LATEST = -1;

/** What Kafka has of a topic, and where. */
export interface TopicLocation {
  readonly partitions: number;
  /** By partition: the first offset there is, and the next one to be written. Decimal. */
  readonly offsets: Readonly<Record<string, { readonly low: string; readonly high: string }>>;
  /** By partition: the number of the broker that leads it. */
  readonly leaders: Readonly<Record<string, number>>;
}

/**
 * Connections to the brokers that are made when they are first needed. Its invariant: what is broken, or did not answer in
 * time, is thrown away, and the next caller makes it again.
 */
export class Brokers {
  readonly #kafka: Kafka;
  #connecting: Promise<Cluster> | undefined;
  /** When any question was answered last, `Date.now()`. */
  #answeredAtMs = 0;
  #closed: Error | undefined;

  constructor(kafka: Kafka) {
    this.#kafka = kafka;
  }

  /**
   * @returns undefined when there is no such topic
   * @throws KafkaTimeout after 10 s without a response; what kafkajs throws
   */
  async locate(topic: string): Promise<TopicLocation | undefined> {
    const startedAtMs = Date.now();
    let used: Promise<Cluster> | undefined;
    const locating = (async () => {
      for (let attempt = 1; ; attempt++) {
        used = this.#connected();
        try {
          const location = await locateIn(await used, topic);
          this.#answeredAtMs = Date.now();
          return location;
        } catch (error) {
          const { type, retriable } = error as { type?: unknown; retriable?: unknown };
          const isMissing = type === 'UNKNOWN_TOPIC_OR_PARTITION';
          if (isMissing && attempt >= ATTEMPTS) return undefined;
          const isTransient = isMissing || retriable === true;
          if (!isTransient || Date.now() - startedAtMs > ANSWER_MS) throw error;
        }
        await sleep(BETWEEN_ATTEMPTS_MS);
      }
    })();
    for (;;) {
      // After a broker's restart a thousand topics are located at once: while others are answered, this one has to wait.
      const leftMs = Math.max(startedAtMs, this.#answeredAtMs) + ANSWER_MS - Date.now();
      if (leftMs <= 0) break;
      try {
        return await withTimeout(locating, leftMs);
      } catch (error) {
        if (!(error instanceof KafkaTimeout)) throw error;
      }
    }
    const timeout = new KafkaTimeout(ANSWER_MS);
    if (used === this.#connecting) this.#discard(timeout);
    throw timeout;
  }

  /** Leader by partition, -1 for none. @throws kafkajs's `UNKNOWN_TOPIC_OR_PARTITION`, among others */
  async leaders(topic: string): Promise<ReadonlyMap<number, number>> {
    return (await this.#connected()).leaders(topic);
  }

  /** @param topic one that the broker leads */
  async get(node: number, topic: string): Promise<Broker> {
    const cluster = await this.#connected();
    if (!cluster.knows(node)) await cluster.leaders(topic);
    return cluster.broker(node);
  }

  async coordinator(group: string): Promise<Broker> {
    return (await this.#connected()).coordinator(group);
  }

  /** Ends the connections to one broker at once. */
  async hangUp(broker: Broker, reason: Error): Promise<void> {
    const cluster = await this.#connecting?.catch(() => undefined);
    cluster?.hangUp(broker, reason);
  }

  /** At once: requests that wait for a response fail with the reason. */
  close(reason: Error): void {
    this.#closed = reason;
    this.#discard(reason);
  }

  #connected(): Promise<Cluster> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (this.#connecting !== undefined) return this.#connecting;
    const cluster = new Cluster(this.#kafka);
    const connecting = cluster.connect().then(
      () => {
        if (this.#connecting === connecting) return cluster;
        // It was discarded while kafkajs was still connecting. A request over it would connect it again, and that
        // connection would stay open.
        const reason = this.#closed ?? new ConnectionDiscarded();
        cluster.hangUpAll(reason);
        throw reason;
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
    connecting?.then((cluster) => cluster.hangUpAll(reason)).catch(() => undefined);
  }
}

async function locateIn(cluster: Cluster, topic: string): Promise<TopicLocation> {
  const leaders = Object.fromEntries(await cluster.leaders(topic));
  const partitions = Object.keys(leaders);
  const offsets: Record<string, { low: string; high: string }> = {};
  for (const partition of partitions) offsets[partition] = { low: '0', high: '0' };
  const ofBrokers = [...new Set(Object.values(leaders))].map(async (node) => {
    const broker = await cluster.broker(node);
    const led = partitions.filter((partition) => leaders[partition] === node).map(Number);
    const list = async (timestamp: -1 | -2): Promise<{ partition: number; offset: string }[]> => {
      const { responses } = await broker.listOffsets({
        replicaId: -1,
        isolationLevel: 0,
        topics: [{ topic, partitions: led.map((partition) => ({ partition, timestamp })) }],
      });
      return responses.flatMap((response) => response.partitions);
    };
    const [lows, highs] = await Promise.all([list(EARLIEST), list(LATEST)]);
    for (const { partition, offset } of lows) offsets[partition] = { low: offset, high: offset };
    for (const { partition, offset } of highs)
      offsets[partition] = { low: offsets[partition]?.low ?? '0', high: offset };
  });
  await Promise.all(ofBrokers);
  return { partitions: partitions.length, offsets, leaders };
}
