import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import { classifyKafka } from '../failure/classify-kafka.js';
import type { Log } from '../observe/log.js';
import { askAdmin } from './ask-admin.js';
import { silence, withDeadline } from './deadline.js';
import { Incarnation, isRefused, isTopicInDoubt } from './incarnation.js';
import type { RecordBatchWriter } from './record-batch-writer.js';
import { requirePartitions, topicGone } from './topic-doubts.js';
import { topicState } from './topic.js';

/** After this long without an answer the broker is asked whether it is there. */
const QUIET_MS = 5_000;
const PROBE_MS = 5_000;
/** A broker that is there but slow gets this much more: giving up would only send the same again. */
const SLOW_MS = 40_000;
/** What passes by itself (a leader that moves, a connection that is lost) has this long: then the batch is sent again whole. */
const RETRY_MS = 3_000;
const FIRST_PAUSE_MS = 100;
const DISCONNECT_MS = 5_000;

/**
 * Sends record batches for all tables of a worker, as one idempotent producer after the other: a new one after every failure
 * whose outcome is not known. What was sent and not confirmed is sent again, by this class or by the batch's name: rows are
 * told apart by version, so a repeated message does no harm.
 */
export class KafkaProducer {
  readonly #kafka: Kafka;
  readonly #log: Log;
  #current: Incarnation | undefined;

  constructor(kafka: Kafka, log: Log) {
    this.#kafka = kafka;
    this.#log = log;
  }

  /**
   * Sends a batch to one topic-partition; sends to the same one go one after the other. The batch is not to be touched after
   * a failure: it may still be on its way.
   * @throws Failure `BrokerUnavailable` within about 10 s of silence, `MessageTooLarge`, `TopicReplaced`, `Unauthorized`
   */
  async send(topic: string, partition: number, batch: RecordBatchWriter): Promise<void> {
    const deadline = Date.now() + RETRY_MS;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
      const incarnation = (this.#current ??= new Incarnation(this.#kafka));
      try {
        return await this.#patiently(topic, incarnation.send(topic, partition, batch));
      } catch (error) {
        const failure = classifyKafka(error, `Publishing to topic ${topic}`);
        if (!isRefused(error)) {
          this.#log.warn({ topic, partition, kind: failure.kind }, 'kafka producer is made anew after a failed send');
          this.#retire(incarnation);
        }
        if (isTopicInDoubt(error)) await this.#requireTopic(topic, partition);
        if (failure.kind !== 'BrokerUnavailable' || Date.now() + pauseMs > deadline) throw failure;
      }
      await sleep(pauseMs);
    }
  }

  /** Ends the connection; sends in flight fail or are abandoned. */
  async close(): Promise<void> {
    const incarnation = this.#current;
    if (incarnation === undefined) return;
    this.#retire(incarnation);
    const late = () => silence('Disconnecting', DISCONNECT_MS);
    await withDeadline(incarnation.disconnect(), DISCONNECT_MS, late).catch(() => undefined);
  }

  #retire(incarnation: Incarnation): void {
    incarnation.retire();
    if (this.#current === incarnation) this.#current = undefined;
  }

  async #patiently<T>(topic: string, sent: Promise<T>): Promise<T> {
    // Made when it is due: an error takes its stack with it, and there is one for every send.
    let quiet: Error | undefined;
    try {
      return await withDeadline(sent, QUIET_MS, () => (quiet = silence(`Publishing to topic ${topic}`, QUIET_MS)));
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
