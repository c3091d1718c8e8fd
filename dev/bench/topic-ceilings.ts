import type { Consumer, IHeaders, KafkaMessage, Message } from 'kafkajs';
import { ensureTopic, topicState } from '../../src/topic/admin.js';
import { ceilingOf, type Ceiling } from './ceiling.js';
import { startClock, type Timing } from './clock.js';
import type { BenchEnvironment } from './environment.js';

/** kafkajs groups the messages of one send in O(n^2). */
const SEND_MESSAGES = 1_000;
/** `max.message.bytes` is 1 MB. */
const SEND_BYTES = 900_000;
/** Kept to be sent again and again: all of a backlog's would make the collector the thing that is measured. */
const SAMPLE_BYTES = 16_000_000;
const DAY_MS = 86_400_000;

/** A topic's messages as one consumer sees them. */
export interface TopicSample {
  /** The first messages, ready to be sent. */
  readonly sends: readonly Message[][];
  readonly messages: number;
}

/** kafkajs reads a topic from its beginning to its end, and does nothing with it. */
export async function consumeCeiling(environment: BenchEnvironment, topic: string, rows: number): Promise<Ceiling> {
  let messages = 0;
  const timing = await readTopic(environment, topic, (batch) => {
    messages += batch.length;
  });
  if (messages === 0) throw new Error(`topic ${topic} is empty`);
  return ceilingOf('kafkajs consume', rows, timing);
}

/** @param onBatch called with the messages, whose bytes are views of what was fetched */
export async function readTopic(
  environment: BenchEnvironment,
  topic: string,
  onBatch: (messages: readonly KafkaMessage[]) => void,
): Promise<Timing> {
  const ends = await highWaterMarks(environment, topic);
  const consumer = environment.kafka.consumer({
    groupId: `bench-${topic}-${process.hrtime.bigint()}`,
    maxBytesPerPartition: 4_000_000,
    maxBytes: 16_000_000,
    maxWaitTimeInMs: 250,
  });
  try {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    return await readToEnd(environment, consumer, ends, onBatch);
  } finally {
    await consumer.disconnect();
  }
}

async function readToEnd(
  environment: BenchEnvironment,
  consumer: Consumer,
  ends: Map<number, bigint>,
  onBatch: (messages: readonly KafkaMessage[]) => void,
): Promise<Timing> {
  let stop: (() => Timing) | undefined;
  // Joining a group is no part of reading.
  consumer.on(consumer.events.GROUP_JOIN, () => (stop ??= startClock(environment)));
  const ended = new Promise<Timing>((resolve, reject) => {
    environment.signal.addEventListener('abort', () => reject(environment.signal.reason as Error), { once: true });
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error));
    consumer
      .run({
        autoCommit: false,
        eachBatchAutoResolve: true,
        eachBatch: ({ batch }) => {
          onBatch(batch.messages);
          const end = ends.get(batch.partition);
          if (end !== undefined && BigInt(batch.lastOffset()) + 1n >= end) ends.delete(batch.partition);
          if (ends.size === 0 && stop !== undefined) resolve(stop());
          return Promise.resolve();
        },
      })
      .catch(reject);
  });
  return ended;
}

/** Keeps the first messages of a topic for `produceCeiling`, with their headers. */
export class Sampler {
  readonly #sends: Message[][] = [];
  #open: Message[] = [];
  #openBytes = 0;
  #bytes = 0;
  #seen = 0;

  readonly add = (messages: readonly KafkaMessage[]): void => {
    this.#seen += messages.length;
    for (const { key, value, headers } of messages) {
      if (this.#bytes >= SAMPLE_BYTES) return;
      const bytes = (key?.length ?? 0) + (value?.length ?? 0) + 120;
      if (this.#open.length === SEND_MESSAGES || (this.#openBytes > 0 && this.#openBytes + bytes > SEND_BYTES))
        this.#close();
      // Copies: a view would keep its whole fetch.
      this.#open.push({
        key: key === null ? null : Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
        partition: 0,
        headers: textHeaders(headers),
      });
      this.#openBytes += bytes;
      this.#bytes += bytes;
    }
  };

  finish(): TopicSample {
    this.#close();
    return { sends: this.#sends, messages: this.#seen };
  }

  #close(): void {
    if (this.#open.length > 0) this.#sends.push(this.#open);
    this.#open = [];
    this.#openBytes = 0;
  }
}

/** An idempotent kafkajs producer sends as many messages of the same kind to one partition, one send after the other. */
export async function produceCeiling(
  environment: BenchEnvironment,
  topic: string,
  sample: TopicSample,
  rows: number,
): Promise<Ceiling> {
  const bare = `${topic}.bare`;
  await makeTopic(environment, bare);
  const producer = environment.kafka.producer({
    idempotent: true,
    maxInFlightRequests: 1,
    allowAutoTopicCreation: false,
    createPartitioner:
      () =>
      ({ message }) =>
        message.partition ?? 0,
  });
  await producer.connect();
  try {
    const stop = startClock(environment);
    let sent = 0;
    while (sent < sample.messages)
      for (const messages of sample.sends) {
        if (sent >= sample.messages) break;
        environment.signal.throwIfAborted();
        await producer.send({ topic: bare, acks: -1, messages });
        sent += messages.length;
      }
    return ceilingOf('kafkajs produce', (rows * sent) / sample.messages, stop());
  } finally {
    await producer.disconnect();
  }
}

export async function makeTopic(environment: BenchEnvironment, topic: string): Promise<void> {
  const admin = environment.kafka.admin();
  try {
    await admin.connect();
    await ensureTopic(admin, { topic, retentionMs: DAY_MS });
  } finally {
    await admin.disconnect();
  }
}

/** By partition, of those that hold anything. */
async function highWaterMarks(environment: BenchEnvironment, topic: string): Promise<Map<number, bigint>> {
  const admin = environment.kafka.admin();
  try {
    await admin.connect();
    const state = await topicState(admin, topic);
    const marks = Object.entries(state?.offsets ?? {}).map(
      ([partition, { high }]) => [Number(partition), BigInt(high)] as const,
    );
    return new Map(marks.filter(([, high]) => high > 0n));
  } finally {
    await admin.disconnect();
  }
}

function textHeaders(headers: IHeaders | undefined): IHeaders {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name, value?.toString()]));
}
