import type { Kafka } from 'kafkajs';
import type { Change } from '../domain/change.js';
import type { MessageFormat } from '../domain/replica.js';
import { Failure } from '../failure/failure.js';
import type { Log } from '../observe/log.js';
import { envelopeFor } from './envelope/envelope-for.js';
import type { Sealed } from './envelope/envelope.js';
import { MOST_BYTES, ParcelCounter, type Parcel } from './parcel.js';
import { KafkaProducer } from './producer.js';

/** Sends of one batch at a time, each to another partition: brokers differ, and the order within a partition is kept. */
const MOST_IN_FLIGHT = 4;
/** Brokers hang up on a request above `socket.request.max.bytes` (100 MB), without a word: it would look like an outage. */
const HOPELESS_BYTES = 100_000_000;

/** Where a batch goes, and its name. */
export interface Consignment {
  readonly topic: string;
  readonly partitions: number;
  readonly format: MessageFormat;
  readonly generation: number;
  readonly batch: number;
  /** Called before each send, after its rows were read: what may not be sent yet is waited for here. */
  readonly beforeSend?: (() => Promise<void>) | undefined;
}

export interface Sent {
  /** Rows and tombstones, without TRUNCATE marks. */
  readonly rows: number;
  readonly messages: number;
  /** Of keys and values. */
  readonly bytes: number;
  /** Highest `seq`, decimal; `0` for nothing. */
  readonly highest: string;
}

/** Publishes for all tables of a worker. */
export interface Publisher {
  /**
   * Resolves when every message is on all in-sync replicas. After a rejection some of them may be: send the batch again.
   * @throws Failure `BrokerUnavailable`, `MessageTooLarge`, `TopicReplaced`, `Unauthorized`; what `changes` throws
   */
  send(consignment: Consignment, changes: AsyncIterable<readonly Change[]>): Promise<Sent>;
  close(): Promise<void>;
}

/**
 * Connects with the first send. Measured on two busy cores that the broker shares: a row of 200 bytes costs this process 16 us
 * of CPU as a message of its own (11 of them are kafkajs's encoding, 2.6 its grouping) and 2.6 us packed.
 */
export function openProducer(kafka: Kafka, log: Log): Promise<Publisher> {
  return Promise.resolve(new KafkaPublisher(new KafkaProducer(kafka, log)));
}

class KafkaPublisher implements Publisher {
  readonly #producer: KafkaProducer;
  /** By topic, where it takes less than we would send. */
  readonly #mostBytes = new Map<string, number>();

  constructor(producer: KafkaProducer) {
    this.#producer = producer;
  }

  close(): Promise<void> {
    return this.#producer.close();
  }

  async send(consignment: Consignment, changes: AsyncIterable<readonly Change[]>): Promise<Sent> {
    const { topic, partitions, format } = consignment;
    const envelope = envelopeFor(format, partitions);
    const parcels = new ParcelCounter(consignment, this.#mostBytes.get(topic) ?? MOST_BYTES);
    const flights = new Flights((parcel) => this.#dispatch(consignment, parcel));
    const total = { rows: 0, messages: 0, bytes: 0, highest: 0n };
    let ready: Parcel[] = [];
    const give = (sealed: Sealed): void => {
      total.rows += sealed.rows;
      total.messages += 1;
      total.bytes += sealed.value.length + (sealed.key?.length ?? 0);
      const highest = BigInt(sealed.highest);
      if (highest > total.highest) total.highest = highest;
      const full = parcels.add(sealed);
      if (full !== undefined) ready.push(full);
    };
    try {
      for await (const chunk of changes) {
        for (const change of chunk) envelope.add(change, give);
        for (const parcel of ready) await flights.start(parcel);
        ready = [];
      }
      envelope.end(give);
      for (const parcel of [...ready, ...parcels.end()]) await flights.start(parcel);
    } finally {
      await flights.land();
    }
    flights.check();
    return { ...total, highest: String(total.highest) };
  }

  async #dispatch(consignment: Consignment, parcel: Parcel): Promise<void> {
    const { topic } = consignment;
    const [first] = parcel.messages;
    if (parcel.messages.length === 1 && parcel.bytes > HOPELESS_BYTES) throw tooLarge(consignment, parcel);
    await consignment.beforeSend?.();
    try {
      await this.#producer.send(topic, parcel.partition, parcel.messages);
    } catch (error) {
      if (!(error instanceof Failure) || error.kind !== 'MessageTooLarge' || first === undefined) throw error;
      if (parcel.messages.length === 1) throw tooLarge(consignment, parcel, error);
      // The topic takes less than we thought: halves, until it is one message that is to blame.
      const half = Math.ceil(parcel.messages.length / 2);
      this.#mostBytes.set(topic, Math.min(this.#mostBytes.get(topic) ?? MOST_BYTES, Math.ceil(parcel.bytes / 2)));
      for (const messages of [parcel.messages.slice(0, half), parcel.messages.slice(half)])
        await this.#dispatch(consignment, {
          ...parcel,
          messages,
          bytes: (parcel.bytes * messages.length) / parcel.messages.length,
        });
    }
  }
}

function tooLarge(consignment: Consignment, parcel: Parcel, cause?: unknown): Failure {
  const { topic, batch } = consignment;
  const [message] = parcel.messages;
  const bytes = (message?.value?.length ?? 0) + (message?.key?.length ?? 0);
  return new Failure('MessageTooLarge', {
    message: `A message of ${bytes} bytes for topic ${topic} (publish batch ${batch}) is larger than Kafka accepts there.`,
    cause,
  });
}

/** The sends in flight: one a partition, so that the order within it is kept. */
class Flights {
  readonly #send: (parcel: Parcel) => Promise<void>;
  readonly #inFlight = new Map<number, Promise<void>>();
  #failed: { readonly error: unknown } | undefined;

  constructor(send: (parcel: Parcel) => Promise<void>) {
    this.#send = send;
  }

  /** Waits until the parcel may go, and lets it go. @throws what an earlier one threw */
  async start(parcel: Parcel): Promise<void> {
    await this.#inFlight.get(parcel.partition);
    while (this.#inFlight.size >= MOST_IN_FLIGHT) await Promise.race(this.#inFlight.values());
    this.check();
    const flight = this.#send(parcel)
      .catch((error: unknown) => {
        this.#failed ??= { error };
      })
      .finally(() => this.#inFlight.delete(parcel.partition));
    this.#inFlight.set(parcel.partition, flight);
  }

  /** Waits until none is in flight. */
  async land(): Promise<void> {
    await Promise.all(this.#inFlight.values());
  }

  check(): void {
    if (this.#failed !== undefined) throw this.#failed.error;
  }
}
