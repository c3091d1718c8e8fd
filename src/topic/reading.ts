import { setTimeout as sleep } from 'node:timers/promises';
import type { OffsetRange } from '../domain/batch.js';
import { kafkaSilent } from '../failure/classify-kafka.js';
import { Failure } from '../failure/failure.js';
import type { TopicLocation } from '../kafka/client/brokers.js';
import { RESPONSE_MS, type FetchTarget } from '../kafka/client/fetch-loop.js';
import type { Fetcher, Subscription } from '../kafka/client/fetcher.js';
import { Notifier } from '../kafka/client/waiting.js';
import type { Log } from '../observe/log.js';
import { endsBefore, offsetGap, otherRecord, partitionFailure, topicFailure, topicGone } from './errors.js';
import type { Fetched, FetchLimits } from './fetched.js';
import type { Acceptance, PartitionBuffer } from './partition-buffer.js';
import type { TakeOptions, TopicReading } from './reader.js';
import { TopicBuffer } from './topic-buffer.js';

/** For the records before the positions: from a broker that answers they come within a second. */
const START_MS = 15_000;
/** A caller that waits checks this often whether Kafka is silent. */
const CHECK_MS = 1_000;
/** Between two questions where a topic is that fails again and again. */
const BETWEEN_LOCATES_MS = 200;
const NO_LIMITS: FetchLimits = { maxRows: Number.MAX_SAFE_INTEGER, maxBytes: Number.MAX_SAFE_INTEGER };

export interface ReadingOptions {
  readonly fetcher: Fetcher;
  readonly subscriber: string;
  readonly topic: string;
  readonly log: Log;
}

/**
 * One reading of a topic. Its invariant: once it has failed or ended, nothing more is fetched for it, and nothing is taken but
 * what was queued before the failure.
 */
export class KafkaReading implements TopicReading {
  readonly #topic: string;
  readonly #log: Log;
  readonly #subscription: Subscription;
  readonly #arrival = new Notifier();
  #buffer: TopicBuffer;
  /** Thrown when the queue is empty: what came before it is good. */
  #failure: Failure | undefined;
  #isOver = false;
  /** A partition is not fetched any more: locate the topic, then follow it again. */
  #mustLocate = false;
  #locatedAtMs = 0;
  /** Why a partition was not served, last. */
  #refused: { readonly failure: Failure; readonly atMs: number } | undefined;

  /** Fences the subscriber's earlier reading at once. */
  constructor({ fetcher, subscriber, topic, log }: ReadingOptions) {
    this.#topic = topic;
    this.#log = log;
    this.#buffer = new TopicBuffer(topic, []);
    this.#subscription = fetcher.subscribe(subscriber, topic, (reason) => this.#end(this.#classify(reason)));
  }

  /** Follows the topic, once, until the records before the positions were verified. @throws what `TopicReader.start` throws */
  async begin(buffer: TopicBuffer, location: TopicLocation): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const deadline = Date.now() + START_MS;
    this.#buffer = buffer;
    this.#subscription.open([...buffer].map((partition) => this.#targetOf(partition)));
    this.#follow(location);
    while (buffer.isVerifying()) {
      await this.#requireReading();
      if (Date.now() > deadline) throw this.#silence(START_MS);
      await this.#arrival.wait(CHECK_MS);
    }
    await this.#requireReading();
  }

  async take(options: TakeOptions): Promise<Fetched | undefined> {
    const deadline = Date.now() + options.waitMs;
    while (options.signal?.aborted !== true) {
      const fetched = this.#read(() => this.#buffer.collect(options, options.ends));
      if (fetched !== undefined) {
        this.#subscription.wake();
        return fetched;
      }
      await this.#requireReading();
      const left = deadline - Date.now();
      if (left <= 0) return undefined;
      await this.#arrival.wait(Math.min(left, CHECK_MS), options.signal);
    }
    return undefined;
  }

  async takeExactly(
    ranges: Readonly<Record<string, OffsetRange>>,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Fetched> {
    const location = await this.#locate();
    for (const [partition, { last }] of Object.entries(ranges))
      if (BigInt(location.offsets[partition]?.high ?? '0') <= BigInt(last))
        throw endsBefore(this.#topic, partition, last);
    const builder = this.#buffer.builder(NO_LIMITS, true);
    const wanted = Object.entries(ranges).map(([partition, range]) => ({
      buffer: this.#buffer.at(Number(partition), range.first),
      last: Number(range.last),
    }));
    for (;;) {
      signal?.throwIfAborted();
      this.#read(() => {
        for (const { buffer, last } of wanted) buffer.drainInto(builder, last);
      });
      this.#subscription.wake();
      if (wanted.every(({ buffer, last }) => builder.lastOf(buffer.partition) === last)) return builder.finish();
      if (wanted.some(({ buffer, last }) => buffer.position <= last && !buffer.isEmpty))
        throw new Failure('TopicReplaced', {
          message: `A named batch of ${this.#topic} does not read as it did before.`,
        });
      await this.#requireReading();
      await this.#arrival.wait(CHECK_MS, signal);
    }
  }

  waiting(): number {
    return this.#buffer.waiting();
  }

  [Symbol.dispose](): void {
    this.#end(new Failure('Unexpected', { message: `The reading of topic ${this.#topic} has ended.` }));
  }

  /** Fetches nothing more, releases what is queued, and wakes a caller that still takes. The first reason stays. */
  #end(why: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#subscription.close();
    this.#buffer.clear();
    this.#failure = why;
    this.#arrival.notify();
  }

  /** With a verification of the record before each position. */
  #follow({ leaders }: TopicLocation): void {
    for (const buffer of this.#buffer) buffer.verify();
    this.#subscription.follow(leaders);
  }

  // ---- called by the fetcher

  #targetOf(buffer: PartitionBuffer): FetchTarget {
    const all = this.#buffer;
    return {
      topic: this.#topic,
      partition: buffer.partition,
      get offset() {
        return buffer.wanted;
      },
      get queuedBytes() {
        return all.queuedBytes();
      },
      get isVerifying() {
        return buffer.isVerifying;
      },
      accept: (records, highWatermark) => {
        if (!this.#isOver) this.#accept(buffer, records, highWatermark);
      },
      verify: () => buffer.verify(),
      lost: (reason) => {
        if (!this.#isOver) this.#onLost(buffer.partition, reason);
      },
    };
  }

  #accept(buffer: PartitionBuffer, records: Buffer, highWatermark: number): void {
    buffer.high = Math.max(buffer.high, highWatermark);
    if (records.length === 0) return;
    let acceptance: Acceptance;
    try {
      acceptance = buffer.accept(records);
    } catch (error) {
      this.#fail(this.#classify(error));
      return;
    }
    switch (acceptance.kind) {
      case 'accepted':
        break;
      case 'gap':
        // Kafka may have deleted what is missing: then locating the topic says that.
        this.#locateSoon();
        this.#fail(offsetGap(this.#topic, buffer.partition, acceptance.expected, acceptance.found));
        break;
      case 'mismatch':
        this.#fail(otherRecord(this.#topic, buffer.partition, buffer.next - 1));
        break;
      default:
        acceptance satisfies never;
    }
    this.#arrival.notify();
  }

  #onLost(partition: number, reason: number | Error): void {
    const failure =
      typeof reason === 'number' ? partitionFailure(reason, this.#topic, partition) : this.#classify(reason);
    this.#log.debug({ topic: this.#topic, partition, reason: failure.message }, 'kafka does not serve the partition');
    this.#refused = { failure, atMs: Date.now() };
    if (['LoginRefused', 'Unauthorized', 'Misconfigured'].includes(failure.kind)) this.#fail(failure);
    this.#locateSoon();
  }

  // ---- taking

  /** @throws Failure when nothing more will come */
  async #requireReading(): Promise<void> {
    // First: locating the topic at brokers that are silent takes as long again.
    this.#requireResponses();
    if (this.#mustLocate) await this.#followAgain();
    if (this.#failure !== undefined) throw this.#failure;
    this.#requireResponses();
  }

  #requireResponses(): void {
    if (this.#failure !== undefined) return;
    if (Date.now() - this.#subscription.unansweredSinceMs() > RESPONSE_MS) throw this.#fail(this.#silence(RESPONSE_MS));
  }

  /** Either what is waited for is not there any more, or another broker leads it now. */
  async #followAgain(): Promise<void> {
    await sleep(Math.max(0, this.#locatedAtMs + BETWEEN_LOCATES_MS - Date.now()));
    this.#locatedAtMs = Date.now();
    const location = await this.#locate();
    if (this.#isOver) return;
    this.#buffer.requireIn(location);
    this.#mustLocate = false;
    if (this.#failure === undefined) this.#follow(location);
  }

  async #locate(): Promise<TopicLocation> {
    const location = await this.#subscription.locate().catch((error: unknown) => {
      throw this.#classify(error);
    });
    if (location === undefined) throw topicGone(this.#topic);
    return location;
  }

  #locateSoon(): void {
    this.#mustLocate = true;
    this.#arrival.notify();
  }

  /** Nothing is fetched after it: the next start begins again. */
  #fail(failure: Failure): Failure {
    this.#failure ??= failure;
    this.#subscription.leave();
    this.#arrival.notify();
    return this.#failure;
  }

  /** Kafka answered, and refused, where a partition was refused since it was served last. */
  #silence(ms: number): Failure {
    const { failure, atMs } = this.#refused ?? { atMs: 0 };
    if (failure !== undefined && atMs > this.#subscription.unansweredSinceMs()) return failure;
    return kafkaSilent(`Reading topic ${this.#topic}`, ms);
  }

  #read<T>(take: () => T): T {
    try {
      return take();
    } catch (error) {
      throw this.#classify(error);
    }
  }

  #classify(error: unknown): Failure {
    return topicFailure(error, `Reading topic ${this.#topic}`, this.#topic);
  }
}
