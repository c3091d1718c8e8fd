import type { Kafka, Message, Producer, RecordMetadata } from 'kafkajs';
import { classifyKafka, protocolTypeOf } from '../failure/classify-kafka.js';
import { Failure } from '../failure/failure.js';
import type { Log } from '../observe/log.js';
import { askAdmin } from './ask-admin.js';
import { silence, withDeadline } from './deadline.js';
import { requirePartitions, topicGone } from './topic-doubts.js';
import { topicState } from './topic.js';

const CONNECT_MS = 10_000;
/** After this long without an answer the broker is asked whether it is there. */
const QUIET_MS = 5_000;
const PROBE_MS = 5_000;
/** A broker that is there but slow gets this much more: giving up would only send the same again. */
const SLOW_MS = 40_000;
/** How long the broker itself waits for its replicas. */
const ACKS_MS = 30_000;

interface Lease {
  readonly producer: Producer;
  readonly connected: Promise<void>;
  sending: number;
  retired: boolean;
}

/**
 * One idempotent producer for all tables of a worker, made anew after every failure. After a failed send kafkajs may be out
 * of step with the broker's sequence numbers, and of UNKNOWN_PRODUCER_ID it never recovers; its metadata fails for every
 * topic once a single one is deleted. What was sent and not confirmed is sent again by the batch's name: rows are told apart
 * by version, so a repeated message does no harm.
 */
export class KafkaProducer {
  readonly #kafka: Kafka;
  readonly #log: Log;
  #current: Lease | undefined;

  constructor(kafka: Kafka, log: Log) {
    this.#kafka = kafka;
    this.#log = log;
  }

  /**
   * Sends messages to one topic-partition as one record batch: at most 1,000, since kafkajs groups them in O(n^2).
   * @throws Failure `BrokerUnavailable` within about 10 s of silence, `MessageTooLarge`, `TopicReplaced`, `Unauthorized`
   */
  async send(topic: string, partition: number, messages: Message[]): Promise<void> {
    const lease = this.#lease();
    lease.sending += 1;
    try {
      await withDeadline(lease.connected, CONNECT_MS, () => silence('Connecting to Kafka', CONNECT_MS));
      const request = { topic, messages, acks: -1, timeout: ACKS_MS };
      requireCovered(await this.#patiently(topic, lease.producer.send(request)), topic, partition);
    } catch (error) {
      const failure = classifyKafka(error, `Publishing to topic ${topic}`);
      // Refused before it was written, and kafkajs took its sequence numbers back: the producer is sound.
      if (failure.kind === 'MessageTooLarge') throw failure;
      this.#retire(lease);
      this.#log.warn({ topic, partition, kind: failure.kind }, 'kafka producer is made anew after a failed send');
      if (isTopicInDoubt(error)) await this.#requireTopic(topic, partition);
      throw failure;
    } finally {
      lease.sending -= 1;
      this.#endIfIdle(lease);
    }
  }

  /** Ends the connection; sends in flight fail or are abandoned. */
  async close(): Promise<void> {
    const lease = this.#current;
    if (lease === undefined) return;
    this.#retire(lease);
    await withDeadline(disconnect(lease), QUIET_MS, () => silence('Disconnecting', QUIET_MS)).catch(() => undefined);
  }

  #lease(): Lease {
    if (this.#current !== undefined) return this.#current;
    const producer = this.#kafka.producer({
      idempotent: true,
      maxInFlightRequests: 1,
      allowAutoTopicCreation: false,
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
      // Sums up to 3.4 s. More would be kafkajs's to try, with state that nobody sees.
      retry: { retries: 5, initialRetryTime: 200, multiplier: 2, maxRetryTime: 1_000 },
    });
    const lease = { producer, connected: producer.connect(), sending: 0, retired: false };
    this.#current = lease;
    return lease;
  }

  #retire(lease: Lease): void {
    lease.retired = true;
    if (this.#current === lease) this.#current = undefined;
  }

  #endIfIdle(lease: Lease): void {
    if (lease.retired && lease.sending === 0) disconnect(lease).catch(() => undefined);
  }

  async #patiently<T>(topic: string, sent: Promise<T>): Promise<T> {
    const quiet = silence(`Publishing to topic ${topic}`, QUIET_MS);
    try {
      return await withDeadline(sent, QUIET_MS, () => quiet);
    } catch (error) {
      if (error !== quiet) throw error;
    }
    const probe = askAdmin(this.#kafka, `Publishing to topic ${topic}`, (admin) =>
      admin.fetchTopicMetadata({ topics: [topic] }),
    );
    const answered = withDeadline(probe, PROBE_MS, () => silence(`Publishing to topic ${topic}`, QUIET_MS + PROBE_MS));
    // Whichever comes first: the answer to the send ends the wait at once, the probe only if it fails.
    return Promise.race([
      withDeadline(sent, SLOW_MS, () => silence(`Publishing to topic ${topic}`, QUIET_MS + SLOW_MS)),
      answered.then(() => new Promise<never>(() => undefined)),
    ]);
  }

  /** @throws Failure `TopicReplaced` when the topic, or this partition of it, is not there */
  async #requireTopic(topic: string, partition: number): Promise<void> {
    const state = await askAdmin(this.#kafka, `Looking for topic ${topic}`, (admin) => topicState(admin, topic));
    if (state === undefined) throw topicGone(topic);
    if (state.partitions <= partition) requirePartitions(state, topic, partition + 1);
  }
}

/**
 * kafkajs resolves a send that it never made: for a partition that its metadata does not know, and where leadership moved
 * between two of its own retries.
 * @throws Failure `BrokerUnavailable` unless the answers cover the partition
 */
export function requireCovered(answers: readonly RecordMetadata[], topic: string, partition: number): void {
  const answer = answers.find((one) => one.topicName === topic && one.partition === partition);
  if (answer?.errorCode === 0 && Number(answer.baseOffset ?? -1) >= 0) return;
  throw new UncoveredSend('BrokerUnavailable', {
    message: `Kafka did not confirm what was sent to partition ${partition} of topic ${topic}.`,
  });
}

class UncoveredSend extends Failure {}

function isTopicInDoubt(error: unknown): boolean {
  return error instanceof UncoveredSend || protocolTypeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION';
}

/** Also after a connection that comes up too late. */
async function disconnect(lease: Lease): Promise<void> {
  await lease.connected.catch(() => undefined);
  await lease.producer.disconnect();
}
