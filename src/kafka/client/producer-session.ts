import type { Kafka } from 'kafkajs';
import { decodeProduce, encodeProduce, PRODUCE, type ProduceResult } from '../protocol/requests.js';
import type { RecordBatchWriter } from '../protocol/record-batch-writer.js';
import { Brokers } from './brokers.js';
import { ClientClosed, SendNotConfirmed, SessionRetired, UnknownPartition } from './errors.js';
import { exchange, protocolError, type Broker } from './kafkajs.js';

/** How long the broker itself waits for its replicas. */
const ACKS_MS = 30_000;
/** Longer than any caller waits for the response: the callers have deadlines of their own. */
const RESPONSE_MS = 60_000;
/** Of no use without transactions, but part of the request. */
const TRANSACTION_MS = 60_000;
/** Sequence numbers are signed 32-bit numbers from 0, and start again. */
const SEQUENCES = 2 ** 31;
const LEADER_NOT_AVAILABLE = 5;
/** A session that has sent to so many partitions is replaced: their sequence numbers may not be forgotten one by one. */
const MOST_PARTITIONS = 10_000;

/**
 * What the broker answers before it writes anything: the sequence numbers are where they were. NOT_LEADER_FOR_PARTITION and
 * UNKNOWN_TOPIC_OR_PARTITION are not among them. A leader that appended the batch and lost the leadership while it waited for
 * the replicas answers with them too (`DelayedProduce.tryComplete` in Kafka), and the next leader may have the batch.
 */
const NOTHING_WRITTEN: ReadonlySet<string> = new Set([
  'LEADER_NOT_AVAILABLE',
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'NOT_ENOUGH_REPLICAS',
  'TOPIC_AUTHORIZATION_FAILED',
]);

/**
 * One producer id with its connections, and the sequence numbers by which brokers recognise a batch that is sent twice. Its
 * invariant: a sequence number is used for one batch only. So the caller sends one batch at a time to a partition, and retires
 * the session when it gives a batch up, or does not know whether a batch was written.
 */
export class ProducerSession {
  readonly #brokers: Brokers;
  /** By topic, until a send to it fails. */
  readonly #leaders = new Map<string, Promise<ReadonlyMap<number, number>>>();
  /** The next number, by topic and partition. */
  readonly #sequences = new Map<string, number>();
  #identity: Promise<{ producerId: string; producerEpoch: number }> | undefined;
  #sending = 0;
  #isRetired = false;

  constructor(kafka: Kafka) {
    this.#brokers = new Brokers(kafka);
  }

  get isFull(): boolean {
    return this.#sequences.size >= MOST_PARTITIONS;
  }

  /**
   * @returns the offset of the first record
   * @throws UnknownPartition where nothing was sent because no broker knows the partition; SessionRetired; SendNotConfirmed;
   * what kafkajs throws
   */
  async send(topic: string, partition: number, batch: RecordBatchWriter): Promise<bigint> {
    this.#sending += 1;
    try {
      const broker = await this.#leader(topic, partition);
      const { producerId, producerEpoch } = await this.#identify(broker);
      if (this.#isRetired) throw new SessionRetired();
      const key = `${topic}/${partition}`;
      const sequence = this.#sequences.get(key) ?? 0;
      const bytes = batch.finish({ producerId, producerEpoch, sequence }, Date.now());
      const head = encodeProduce(topic, partition, { batchBytes: bytes.length, acksMs: ACKS_MS });
      const request = { ...PRODUCE, body: [head, bytes], timeoutMs: RESPONSE_MS };
      const { response, throttle } = await exchange(broker, request);
      const { results, throttleMs } = decodeProduce(response);
      throttle(throttleMs);
      const first = requireWritten(results, topic, partition);
      this.#sequences.set(key, (sequence + batch.records) % SEQUENCES);
      return first;
    } catch (error) {
      this.#leaders.delete(topic);
      throw error;
    } finally {
      this.#sending -= 1;
      this.#closeIfUnused();
    }
  }

  /** Begins no more sends; its connections end with the last one that is on its way. */
  retire(): void {
    this.#isRetired = true;
    this.#closeIfUnused();
  }

  /** Ends the connections at once: sends that are on their way fail. */
  close(): void {
    this.#isRetired = true;
    this.#brokers.close(new ClientClosed());
  }

  async #leader(topic: string, partition: number): Promise<Broker> {
    let loading = this.#leaders.get(topic);
    if (loading === undefined) this.#leaders.set(topic, (loading = this.#brokers.leaders(topic)));
    const leaders = await loading.catch((error: unknown) => {
      if ((error as { type?: unknown }).type !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
      throw new UnknownPartition(topic, partition);
    });
    const node = leaders.get(partition);
    if (node === undefined) throw new UnknownPartition(topic, partition);
    if (node < 0) throw protocolError(LEADER_NOT_AVAILABLE);
    return this.#brokers.get(node, topic);
  }

  #identify(broker: Broker): Promise<{ producerId: string; producerEpoch: number }> {
    this.#identity ??= broker.initProducerId({ transactionTimeout: TRANSACTION_MS });
    return this.#identity;
  }

  #closeIfUnused(): void {
    if (this.#isRetired && this.#sending === 0) this.close();
  }
}

/** Whether a send failed before anything was written, so that its sequence number is free. */
export function wroteNothing(error: unknown): boolean {
  return error instanceof UnknownPartition || NOTHING_WRITTEN.has(String((error as { type?: unknown }).type));
}

/**
 * @returns the offset of the first record of the partition's batch
 * @throws Kafka's error as kafkajs throws it; SendNotConfirmed unless the response says where the batch was written
 */
export function requireWritten(results: readonly ProduceResult[], topic: string, partition: number): bigint {
  const result = results.find((one) => one.topic === topic && one.partition === partition);
  if (result !== undefined && result.errorCode !== 0) throw protocolError(result.errorCode);
  if (result === undefined || result.baseOffset < 0n) throw new SendNotConfirmed(topic, partition);
  return result.baseOffset;
}
