import type { Kafka } from 'kafkajs';
import { MOST_MESSAGE_BYTES, type Changes } from '../domain/change.js';
import type { MessageFormat, Payload } from '../domain/route.js';
import { formatTableName } from '../domain/table-name.js';
import { classifyKafka, protocolTypeOf } from '../failure/classify-kafka.js';
import { Failure } from '../failure/failure.js';
import { largeRowRemedy } from '../failure/remedies.js';
import { KafkaProducer } from '../kafka/client/producer.js';
import { RecordBatchWriter } from '../kafka/protocol/record-batch-writer.js';
import type { AvroForm, EncodedMessage, MessageOrigin } from '../messages/encoder.js';
import { FORMATS } from '../messages/formats.js';
import type { Log } from '../observe/log.js';
import { BatchAccumulator, MOST_BYTES, sizeOf, type ReadyBatch } from './batch-accumulator.js';
import { topicFailure } from './errors.js';

/** Sends of one publish batch at a time, each to another partition: brokers differ, and the order within a partition is kept. */
const MOST_IN_FLIGHT = 4;
/** Of them together, unless it is a single one. */
const MOST_BYTES_IN_FLIGHT = 4 * MOST_BYTES;
/** Buffers that wait for the next publish batch, of any table. */
const MOST_SPARE = 8;
/** Topics whose smaller limit is remembered. */
const MOST_LIMITS = 1_000;

/** Where a publish batch goes, and its name. */
export interface PublishRequest {
  readonly topic: string;
  readonly partitions: number;
  readonly format: MessageFormat;
  /** This deployment, 8 hexadecimal digits. */
  readonly origin: string;
  readonly generation: number;
  /** The number of the form that the table has, from 1. */
  readonly shape: number;
  readonly batch: number;
  /** The columns of the values where these are COPY text (`FORMATS[format].rows` is `text`); absent where they are JSON. */
  readonly columns?: readonly string[] | undefined;
  /** Of messages in Avro. */
  readonly avro?: AvroForm | undefined;
  /** What the values are; `row` when absent. */
  readonly payload?: Payload | undefined;
  /** Where the rows come from, where the format says it. */
  readonly from?: MessageOrigin | undefined;
  /** Called before each send, after its rows were read: what may not be sent yet is waited for here. */
  readonly beforeSend?: (() => Promise<void>) | undefined;
  /** Called after each send that Kafka has acknowledged. What it throws ends the batch. */
  readonly onWritten?: ((written: WrittenRange) => void) | undefined;
}

/** What one send wrote: offsets of one partition, both inclusive. */
export interface WrittenRange {
  readonly partition: number;
  readonly first: bigint;
  readonly last: bigint;
}

export interface Sent {
  /** Rows and tombstones, without TRUNCATE markers. */
  readonly rows: number;
  readonly messages: number;
  /** Of keys and values. */
  readonly bytes: number;
}

/** Publishes for all tables of a worker. */
export interface Publisher {
  /**
   * Resolves when every message is on all in-sync replicas. After a rejection some of them may be: send the batch again.
   * @throws Failure `BrokerUnavailable`, `MessageTooLarge`, `TopicReplaced`, `Unauthorized`; what `changes` throws
   */
  send(request: PublishRequest, changes: AsyncIterable<Changes>): Promise<Sent>;
  close(): Promise<void>;
}

/**
 * Connects with the first send. Measured with 280 bytes of JSON a row, 200,000 rows in batches of 20,000, on two busy cores that
 * the servers share: a row costs this process 3.4 to 3.9 us of CPU as a message of its own and 3.2 to 3.8 packed, of which
 * reading it from PostgreSQL takes 2.5. With kafkajs's own producer it was 17.8 to 19.8, and 5.2 to 6.2.
 */
export function openProducer(kafka: Kafka, log: Log): Promise<Publisher> {
  return Promise.resolve(new TopicWriter(openKafkaProducer(kafka, log)));
}

export function openKafkaProducer(kafka: Kafka, log: Log): KafkaProducer {
  return new KafkaProducer(kafka, {
    // A broker that has lost acknowledged records says so. The end of the topic is to be looked at before anything more is sent.
    isTransient: (error) =>
      protocolTypeOf(error) !== 'OUT_OF_ORDER_SEQUENCE_NUMBER' && classifyKafka(error, '').kind === 'BrokerUnavailable',
    onSessionEnd: (error, topic, partition) =>
      log.warn(
        { topic, partition, kind: topicFailure(error, '', topic).kind },
        'a send to kafka failed; the next one uses a new producer id',
      ),
  });
}

/** Its invariant: a buffer is used again only after its batch was confirmed. What failed may still be on its way. */
class TopicWriter implements Publisher {
  readonly #producer: KafkaProducer;
  /** By topic, where it takes less than we would send. */
  readonly #mostBytes = new Map<string, number>();
  readonly #spare: RecordBatchWriter[] = [];

  constructor(producer: KafkaProducer) {
    this.#producer = producer;
  }

  close(): Promise<void> {
    this.#producer.close();
    return Promise.resolve();
  }

  async send(request: PublishRequest, changes: AsyncIterable<Changes>): Promise<Sent> {
    const { topic, format } = request;
    const encoder = new FORMATS[format].Encoder(request);
    const batches = new BatchAccumulator(request, this.#mostBytes.get(topic) ?? MOST_BYTES, () => this.#takeBatch());
    const inFlight = new InFlightSends((ready) => this.#dispatch(request, ready));
    const emit = (message: EncodedMessage): void => {
      refuseTooLarge(request, message);
      batches.add(message);
    };
    try {
      for await (const chunk of changes)
        for (let index = 0; index < chunk.length; index++) {
          encoder.add(chunk.at(index), emit);
          if (batches.hasReady) for (const ready of batches.takeReady()) await inFlight.start(ready);
        }
      encoder.end(emit);
      for (const ready of batches.end()) await inFlight.start(ready);
    } finally {
      await inFlight.settle();
    }
    inFlight.check();
    return batches.total;
  }

  async #dispatch(request: PublishRequest, { partition, batch }: ReadyBatch): Promise<void> {
    const { topic } = request;
    await request.beforeSend?.();
    try {
      const first = await this.#producer.send(topic, partition, batch);
      request.onWritten?.({ partition, first, last: first + BigInt(batch.records) - 1n });
    } catch (error) {
      const failure = topicFailure(error, `Publishing to topic ${topic}`, topic);
      if (failure.kind !== 'MessageTooLarge') throw failure;
      if (batch.records === 1) throw tooLarge(request, batch.size, failure);
      // The topic takes less than was assumed: halves, until a single message is too large.
      this.#remember(topic, Math.ceil(batch.size / 2));
      for (const half of batch.halves()) await this.#dispatch(request, { partition, batch: half });
    }
    this.#giveBack(batch);
  }

  #remember(topic: string, mostBytes: number): void {
    const known = this.#mostBytes.get(topic) ?? MOST_BYTES;
    const [oldest] = this.#mostBytes.keys();
    if (this.#mostBytes.size >= MOST_LIMITS && oldest !== undefined) this.#mostBytes.delete(oldest);
    this.#mostBytes.set(topic, Math.min(known, mostBytes));
  }

  #takeBatch(): RecordBatchWriter {
    return this.#spare.pop() ?? new RecordBatchWriter();
  }

  #giveBack(batch: RecordBatchWriter): void {
    if (this.#spare.length >= MOST_SPARE || batch.capacity > 2 * MOST_BYTES) return;
    batch.clear();
    this.#spare.push(batch);
  }
}

/** Before the message is copied. */
function refuseTooLarge(request: PublishRequest, message: EncodedMessage): void {
  const bytes = sizeOf(message);
  if (bytes > MOST_MESSAGE_BYTES) throw tooLarge(request, bytes);
}

/** Room for what Kafka puts around a message, and for a row that grows a little. */
const SPARE_SHARE = 1.25;

function tooLarge({ topic, batch, from }: PublishRequest, bytes: number, cause?: unknown): Failure {
  const whose =
    from === undefined ? '' : ` of ${formatTableName(from)}, whose key is (${(from.key ?? []).join(', ')}),`;
  const wanted = Math.ceil(bytes * SPARE_SHARE);
  const limit = wanted > MOST_MESSAGE_BYTES ? undefined : { topic, bytes: wanted };
  return new Failure('MessageTooLarge', {
    message: `A message of ${bytes} bytes${whose} for topic ${topic} (publish batch ${batch}) is larger than Kafka accepts there.`,
    remedy: from === undefined ? undefined : largeRowRemedy({ name: from, key: from.key ?? [] }, limit),
    cause,
  });
}

/** The sends in flight: one a partition, so that the order within it is kept. */
class InFlightSends {
  readonly #send: (ready: ReadyBatch) => Promise<void>;
  readonly #inFlight = new Map<number, Promise<void>>();
  #bytes = 0;
  #failed: { readonly error: unknown } | undefined;

  constructor(send: (ready: ReadyBatch) => Promise<void>) {
    this.#send = send;
  }

  /** Waits until the batch may go, and sends it. @throws what an earlier one threw */
  async start(ready: ReadyBatch): Promise<void> {
    const { size } = ready.batch;
    await this.#inFlight.get(ready.partition);
    while (!this.#hasRoom(size)) await Promise.race(this.#inFlight.values());
    this.check();
    this.#bytes += size;
    const sending = this.#send(ready)
      .catch((error: unknown) => {
        this.#failed ??= { error };
      })
      .finally(() => {
        this.#bytes -= size;
        this.#inFlight.delete(ready.partition);
      });
    this.#inFlight.set(ready.partition, sending);
  }

  #hasRoom(bytes: number): boolean {
    const { size } = this.#inFlight;
    return size === 0 || (size < MOST_IN_FLIGHT && this.#bytes + bytes <= MOST_BYTES_IN_FLIGHT);
  }

  /** Waits until none is in flight. */
  async settle(): Promise<void> {
    await Promise.all(this.#inFlight.values());
  }

  check(): void {
    if (this.#failed !== undefined) throw this.#failed.error;
  }
}
