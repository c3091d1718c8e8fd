import { randomBytes } from 'node:crypto';
import type { Consumer, EachBatchPayload, Kafka } from 'kafkajs';
import { setTimeout as sleep } from 'node:timers/promises';
import { classifyKafka, protocolTypeOf } from '../failure/classify-kafka.js';
import type { Failure } from '../failure/failure.js';
import { silence, withDeadline } from './deadline.js';

/** Includes `group.initial.rebalance.delay.ms`, 3 s by default on a broker. */
const JOIN_MS = 15_000;
const REJOIN_MS = 250;
const COORDINATOR_STARTS: ReadonlySet<string> = new Set([
  'GROUP_LOAD_IN_PROGRESS',
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
]);
/** Fetches are answered every 250 ms, but for a reader that waits for room, and a process that stood still. */
const UNSEEN_MS = 2_000;
const STOP_MS = 5_000;
/** A group of one is missed by nobody: it may be slow to answer. */
const SESSION_MS = 60_000;
/** A broker answers at once when there is something; this is how long it holds an empty fetch, and a seek waits for it. */
const IDLE_FETCH_MS = 250;
const PARTITION_FETCH_BYTES = 4_000_000;
const FETCH_BYTES = 16_000_000;

export interface ConsumerHandler {
  /** The offset to fetch a partition from: asked after every join, since the group itself holds none. */
  seekOffset(partition: number): number | undefined;
  batch(payload: EachBatchPayload): Promise<void>;
  /** kafkajs has set its own position: the offset was out of range. */
  jumped(): void;
  /** The topic may have been deleted and made anew since the last fetch: its positions must be sought again. */
  unseen(): void;
  /** It reads no more. */
  crashed(failure: Failure): void;
}

/**
 * A kafkajs consumer in a group of its own incarnation, since kafkajs cannot be assigned partitions without a group, and a join
 * of a group whose member was killed waits for the session timeout (30 s). Nothing is ever committed: positions are the
 * ledger's.
 */
export class PrivateConsumer {
  readonly groupId = `pg2click-${randomBytes(8).toString('hex')}`;
  /** When a fetch was answered last, `Date.now()`. */
  answeredAtMs = Date.now();
  readonly #topic: string;
  readonly #consumer: Consumer;
  #hasJoined = false;

  private constructor(kafka: Kafka, topic: string) {
    this.#topic = topic;
    this.#consumer = kafka.consumer({
      groupId: this.groupId,
      sessionTimeout: SESSION_MS,
      rebalanceTimeout: SESSION_MS,
      heartbeatInterval: 3_000,
      minBytes: 1,
      maxWaitTimeInMs: IDLE_FETCH_MS,
      maxBytesPerPartition: PARTITION_FETCH_BYTES,
      maxBytes: FETCH_BYTES,
      allowAutoTopicCreation: false,
      // 2.5 s in all. Then it crashes, which is told; restarting is for the reader, which knows the position.
      retry: { retries: 5, initialRetryTime: 100, maxRetryTime: 1_000, restartOnFailure: () => Promise.resolve(false) },
    });
  }

  /** Joins, and fetches from where the handler says. @throws Failure `BrokerUnavailable` after 15 s, `Unauthorized` */
  static async open(kafka: Kafka, topic: string, handler: ConsumerHandler): Promise<PrivateConsumer> {
    const deadline = Date.now() + JOIN_MS;
    for (;;) {
      try {
        return await PrivateConsumer.#openOnce(kafka, topic, handler);
      } catch (error) {
        // kafkajs crashes at once on a coordinator that has just started, or was never asked for before.
        if (!COORDINATOR_STARTS.has(protocolTypeOf(error) ?? '') || Date.now() > deadline)
          throw classifyKafka(error, `Reading topic ${topic}`);
        await sleep(REJOIN_MS);
      }
    }
  }

  static async #openOnce(kafka: Kafka, topic: string, handler: ConsumerHandler): Promise<PrivateConsumer> {
    const consumer = new PrivateConsumer(kafka, topic);
    const joining = consumer.#join(handler);
    try {
      await withDeadline(joining, JOIN_MS, () => silence(`Joining a group to read topic ${topic}`, JOIN_MS));
      return consumer;
    } catch (error) {
      joining.catch(() => undefined).finally(() => void consumer.close());
      throw error;
    }
  }

  seek(partition: number, offset: number): void {
    this.#consumer.seek({ topic: this.#topic, partition, offset: String(offset) });
  }

  /** Leaves the group. Best effort: after 5 s it is left to time out. */
  async close(): Promise<void> {
    const late = () => new Error('late');
    await withDeadline(this.#consumer.disconnect(), STOP_MS, late).catch(() => undefined);
  }

  async #join(handler: ConsumerHandler): Promise<void> {
    const consumer = this.#consumer;
    const { GROUP_JOIN, CRASH, REQUEST } = consumer.events;
    const joined = new Promise<void>((resolve, reject) => {
      consumer.on(GROUP_JOIN, ({ payload }) => {
        for (const partition of payload.memberAssignment[this.#topic] ?? []) {
          const offset = handler.seekOffset(partition);
          if (offset !== undefined) this.seek(partition, offset);
        }
        this.answeredAtMs = Date.now();
        this.#hasJoined = true;
        resolve();
      });
      // `run` resolves even when joining failed; only this event tells.
      consumer.on(CRASH, ({ payload }) => {
        reject(payload.error);
        if (this.#hasJoined) handler.crashed(classifyKafka(payload.error, `Reading topic ${this.#topic}`));
      });
    });
    joined.catch(() => undefined);
    consumer.on(REQUEST, ({ payload }) => {
      if (!this.#hasJoined) return;
      // kafkajs asks for metadata when a fetch failed with UNKNOWN_TOPIC_OR_PARTITION, and tells nobody of it; a topic that
      // is there again by then it goes on reading at the old offset.
      if (payload.apiName === 'Metadata') handler.unseen();
      if (payload.apiName === 'Fetch') {
        const unseenMs = Date.now() - this.answeredAtMs;
        this.answeredAtMs = Date.now();
        if (unseenMs > UNSEEN_MS) handler.unseen();
      }
      // With autoCommit off kafkajs commits in one case only: its jump to the first offset when ours is out of range.
      if (payload.apiName === 'OffsetCommit') handler.jumped();
    });
    await consumer.connect();
    await consumer.subscribe({ topic: this.#topic, fromBeginning: true });
    await consumer.run({ autoCommit: false, eachBatch: (payload) => handler.batch(payload) });
    await joined;
  }
}
