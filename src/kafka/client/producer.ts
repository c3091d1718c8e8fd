import { setTimeout as sleep } from 'node:timers/promises';
import type { Kafka } from 'kafkajs';
import type { RecordBatchWriter } from '../protocol/record-batch-writer.js';
import { Brokers } from './brokers.js';
import { ClientClosed, KafkaTimeout, MissingPartition, SessionRetired, UnknownPartition } from './errors.js';
import { ProducerSession, wroteNothing } from './producer-session.js';
import { withTimeout } from './waiting.js';

/** After this long without a response the broker is asked whether it is there. */
const QUIET_MS = 5_000;
const PROBE_MS = 5_000;
/** A broker that is there but slow gets this much more: giving up would only send the same again. */
const SLOW_MS = 40_000;
/** A transient error (a leader that moves, a connection that is lost) is retried this long. */
const RETRY_MS = 3_000;
const FIRST_PAUSE_MS = 100;

requireTimeLimits({ quietMs: QUIET_MS, retryMs: RETRY_MS });

export interface ProducerOptions {
  /** Whether an error passes by itself, so that the batch is sent again. */
  readonly isTransient: (error: unknown) => boolean;
  /** A session ended because of this error; the next send begins another. */
  readonly onSessionEnd?: (error: unknown, topic: string, partition: number) => void;
}

/**
 * Sends record batches to any number of topics, as one idempotent producer after the other.
 *
 * Its invariants: a partition has one batch on its way at a time, with all its attempts, so no other batch takes its sequence
 * number. And a session is retired before an error leaves `send`, so a batch that was given up, and may have been written after
 * all, shares its producer id and sequence number with no later batch: the broker would take that for a repetition, and confirm
 * it without writing it.
 */
export class KafkaProducer {
  readonly #kafka: Kafka;
  readonly #options: ProducerOptions;
  /** The last send of each partition that has one. */
  readonly #lastSends = new Map<string, Promise<unknown>>();
  #session: ProducerSession | undefined;
  #isClosed = false;

  constructor(kafka: Kafka, options: ProducerOptions) {
    this.#kafka = kafka;
    this.#options = options;
  }

  /**
   * Sends a batch to one partition, after the earlier ones to it. After a failure the batch must not be changed or used again:
   * it may still be on its way.
   * @returns the offset of its first record
   * @throws KafkaTimeout after about 10 s without a response; MissingPartition; what kafkajs throws
   */
  async send(topic: string, partition: number, batch: RecordBatchWriter): Promise<bigint> {
    const key = `${topic}/${partition}`;
    const sending = (this.#lastSends.get(key) ?? Promise.resolve()).then(() => this.#send(topic, partition, batch));
    const settled = sending.catch(() => undefined);
    this.#lastSends.set(key, settled);
    try {
      return await sending;
    } finally {
      if (this.#lastSends.get(key) === settled) this.#lastSends.delete(key);
    }
  }

  /** At once: sends that are on their way fail. */
  close(): void {
    this.#isClosed = true;
    this.#session?.close();
    this.#session = undefined;
  }

  async #send(topic: string, partition: number, batch: RecordBatchWriter): Promise<bigint> {
    const deadline = Date.now() + RETRY_MS;
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs *= 2) {
      const session = this.#currentSession();
      try {
        return await this.#await(topic, session.send(topic, partition, batch));
      } catch (error) {
        const isUnknown = mayBeMissing(error);
        const isLast = !this.#options.isTransient(error) || Date.now() + pauseMs > deadline;
        if (isUnknown || isLast || !wroteNothing(error)) this.#retire(session, error, topic, partition);
        if (isUnknown) await this.#requirePartition(topic, partition);
        if (isLast) throw error;
        if (error instanceof SessionRetired) continue;
      }
      await sleep(pauseMs);
    }
  }

  #currentSession(): ProducerSession {
    if (this.#isClosed) throw new ClientClosed();
    if (this.#session?.isFull === true) {
      this.#session.retire();
      this.#session = undefined;
    }
    return (this.#session ??= new ProducerSession(this.#kafka));
  }

  #retire(session: ProducerSession, error: unknown, topic: string, partition: number): void {
    session.retire();
    if (this.#session !== session) return;
    this.#session = undefined;
    if (!this.#isClosed) this.#options.onSessionEnd?.(error, topic, partition);
  }

  /** Waits for a send as long as the broker answers other questions. */
  async #await(topic: string, sent: Promise<bigint>): Promise<bigint> {
    try {
      return await withTimeout(sent, QUIET_MS);
    } catch (error) {
      if (!(error instanceof KafkaTimeout)) throw error;
    }
    const probe = new Brokers(this.#kafka);
    try {
      const answered = withTimeout(probe.leaders(topic), PROBE_MS, QUIET_MS + PROBE_MS);
      // The response to the send ends the wait at once, the probe only where it fails.
      return await Promise.race([
        withTimeout(sent, SLOW_MS, QUIET_MS + SLOW_MS),
        answered.then(() => new Promise<never>(() => undefined)),
      ]);
    } finally {
      probe.close(new ClientClosed());
    }
  }

  /** @throws MissingPartition where the topic, or this partition of it, is not there */
  async #requirePartition(topic: string, partition: number): Promise<void> {
    const brokers = new Brokers(this.#kafka);
    try {
      const partitions = (await brokers.locate(topic))?.partitions;
      if ((partitions ?? 0) <= partition) throw new MissingPartition(topic, partition, partitions);
    } finally {
      brokers.close(new ClientClosed());
    }
  }
}

function mayBeMissing(error: unknown): boolean {
  return error instanceof UnknownPartition || (error as { type?: unknown }).type === 'UNKNOWN_TOPIC_OR_PARTITION';
}

/**
 * A batch is sent again from the buffer of the attempt before, so no bytes of that attempt may still have to be written. They
 * may be where the broker is silent, and that is known after `quietMs` at the earliest. Retries must have ended by then.
 * @throws Error
 */
export function requireTimeLimits({ quietMs, retryMs }: { readonly quietMs: number; readonly retryMs: number }): void {
  if (retryMs >= quietMs)
    throw new Error(
      `The time for retries (${retryMs} ms) must be shorter than the time that a silent broker has (${quietMs} ms): a batch would be changed while it is being sent.`,
    );
}
