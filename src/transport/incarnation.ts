import type { Kafka } from 'kafkajs';
import { protocolTypeOf } from '../failure/classify-kafka.js';
import { Failure } from '../failure/failure.js';
import { createCluster, exchange, hangUpAll, protocolError, type KafkaBroker, type KafkaCluster } from './cluster.js';
import { decodeProduced, encodeProduce, PRODUCE, type Produced } from './produce-request.js';
import type { RecordBatchWriter } from './record-batch-writer.js';

/** How long the broker itself waits for its replicas. */
const ACKS_MS = 30_000;
/** Longer than anybody waits for an answer: who waits decides. */
const ANSWER_MS = 60_000;
/** Of no use without transactions, but part of the request. */
const TRANSACTION_MS = 60_000;
/** Sequence numbers are signed 32-bit numbers from 0, and start again. */
const SEQUENCES = 2 ** 31;
const LEADER_NOT_AVAILABLE = 5;

/** What the broker says instead of writing: the sequence numbers are where they were. */
const REFUSALS: ReadonlySet<string> = new Set([
  'UNKNOWN_TOPIC_OR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_FOR_PARTITION',
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'NOT_ENOUGH_REPLICAS',
  'TOPIC_AUTHORIZATION_FAILED',
]);

/** The sends to one topic-partition: one at a time, numbered. */
interface Lane {
  sequence: number;
  turn: Promise<unknown>;
}

/**
 * One life of the producer: its connections, its producer id, and the sequence numbers by which brokers tell a batch that is
 * sent twice. It ends with the first send whose outcome is not known: after that its numbers may not be the broker's.
 */
export class Incarnation {
  readonly #cluster: KafkaCluster;
  readonly #connected: Promise<void>;
  readonly #lanes = new Map<string, Lane>();
  /** By topic, until a send to it fails. */
  readonly #leaders = new Map<string, Promise<ReadonlyMap<number, number>>>();
  #loading: Promise<unknown> = Promise.resolve();
  #identity: Promise<{ producerId: string; producerEpoch: number }> | undefined;
  #sending = 0;
  #retired = false;

  constructor(kafka: Kafka) {
    this.#cluster = createCluster(kafka);
    this.#connected = this.#cluster.connect();
    this.#connected.catch(() => undefined);
  }

  /** @throws what kafkajs throws, Failure where no broker was asked; `BrokerUnavailable` once it is retired */
  async send(topic: string, partition: number, batch: RecordBatchWriter): Promise<void> {
    const name = `${topic}/${partition}`;
    let lane = this.#lanes.get(name);
    if (lane === undefined) this.#lanes.set(name, (lane = { sequence: 0, turn: Promise.resolve() }));
    const { turn } = lane;
    const sent = this.#sendAfter(turn, lane, topic, partition, batch);
    lane.turn = sent.catch(() => undefined);
    this.#sending += 1;
    try {
      await sent;
    } catch (error) {
      this.#leaders.delete(topic);
      throw error;
    } finally {
      this.#sending -= 1;
      this.#endIfIdle();
    }
  }

  /** Takes no more sends, and ends its connections with the last one that is on its way. */
  retire(): void {
    this.#retired = true;
    this.#endIfIdle();
  }

  /** Nobody waits for an answer any more. */
  async disconnect(): Promise<void> {
    // Also of a connection that comes up too late.
    await this.#connected.catch(() => undefined);
    const over = new Failure('BrokerUnavailable', { message: 'The producer was closed.' });
    hangUpAll(this.#cluster, over);
  }

  async #sendAfter(
    turn: Promise<unknown>,
    lane: Lane,
    topic: string,
    partition: number,
    batch: RecordBatchWriter,
  ): Promise<void> {
    await turn;
    const broker = await this.#leader(topic, partition);
    const { producerId, producerEpoch } = await this.#identify(broker);
    if (this.#retired)
      throw new Failure('BrokerUnavailable', { message: `Another send failed before the one to topic ${topic}.` });
    const bytes = batch.finish({ producerId, producerEpoch, sequence: lane.sequence }, Date.now());
    const head = encodeProduce(topic, partition, { batchBytes: bytes.length, acksMs: ACKS_MS });
    const { answer, throttle } = await exchange(broker, { ...PRODUCE, body: [head, bytes], timeoutMs: ANSWER_MS });
    const { produced, throttleMs } = decodeProduced(answer);
    throttle(throttleMs);
    requireProduced(produced, topic, partition);
    lane.sequence = (lane.sequence + batch.records) % SEQUENCES;
  }

  async #leader(topic: string, partition: number): Promise<KafkaBroker> {
    await this.#connected;
    let loading = this.#leaders.get(topic);
    if (loading === undefined) this.#leaders.set(topic, (loading = this.#load(topic)));
    const nodeId = (await loading).get(partition);
    if (nodeId === undefined) throw new UncoveredSend(topic, partition);
    if (nodeId < 0) throw protocolError(LEADER_NOT_AVAILABLE);
    return this.#cluster.brokerPool.findBroker({ nodeId });
  }

  /** By itself: kafkajs fails for all topics it was ever asked about, once one of them is deleted. */
  async #load(topic: string): Promise<ReadonlyMap<number, number>> {
    const loaded = this.#loading.then(async () => {
      await this.#cluster.brokerPool.refreshMetadata([topic]);
      const partitions = this.#cluster.findTopicPartitionMetadata(topic);
      return new Map(partitions.map(({ partitionId, leader }) => [partitionId, leader]));
    });
    this.#loading = loaded.catch(() => undefined);
    return loaded;
  }

  #identify(broker: KafkaBroker): Promise<{ producerId: string; producerEpoch: number }> {
    this.#identity ??= broker.initProducerId({ transactionTimeout: TRANSACTION_MS });
    return this.#identity;
  }

  #endIfIdle(): void {
    if (this.#retired && this.#sending === 0) this.disconnect().catch(() => undefined);
  }
}

/** Whether nothing was written, and the incarnation is sound. */
export function isRefused(error: unknown): boolean {
  return error instanceof UncoveredSend || REFUSALS.has(protocolTypeOf(error) ?? '');
}

export function isTopicInDoubt(error: unknown): boolean {
  return error instanceof UncoveredSend || protocolTypeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION';
}

/**
 * @throws Kafka's error as kafkajs throws it; Failure `BrokerUnavailable` unless the answer is about the partition, and says
 * where it was written
 */
export function requireProduced(produced: readonly Produced[], topic: string, partition: number): void {
  const answer = produced.find((one) => one.topic === topic && one.partition === partition);
  if (answer !== undefined && answer.errorCode !== 0) throw protocolError(answer.errorCode);
  if (answer === undefined || answer.baseOffset < 0n)
    throw new Failure('BrokerUnavailable', {
      message: `Kafka did not confirm what was sent to partition ${partition} of topic ${topic}.`,
    });
}

class UncoveredSend extends Failure {
  constructor(topic: string, partition: number) {
    super('BrokerUnavailable', { message: `No broker knows of partition ${partition} of topic ${topic}.` });
  }
}
