import type { EachBatchPayload, Kafka } from 'kafkajs';
import type { OffsetRange } from '../domain/batch.js';
import { Failure } from '../failure/failure.js';
import type { Log } from '../observe/log.js';
import { askAdmin } from './ask-admin.js';
import { Bell } from './bell.js';
import { FetchedBuilder, type Fetched, type FetchLimits } from './fetched.js';
import { Lane } from './lane.js';
import { PrivateConsumer, type ConsumerHandler } from './private-consumer.js';
import {
  endsBefore,
  offsetGap,
  otherRecord,
  partitionsChanged,
  requirePartitions,
  requireRange,
  topicGone,
} from './topic-doubts.js';
import { topicState, type TopicState } from './topic.js';

export type { Fetched, FetchLimits } from './fetched.js';

const DEFAULT_MEMORY_BYTES = 64_000_000;
/** Without an answer to a fetch for this long, while there is room for one, Kafka counts as away. */
const SILENCE_MS = 10_000;
/** A fetcher that waits for room looks up this often, for its heartbeat. */
const HEARTBEAT_LOOK_MS = 1_000;
const NO_LIMITS: FetchLimits = { maxRows: Number.MAX_SAFE_INTEGER, maxBytes: Number.MAX_SAFE_INTEGER };

export interface ReaderOptions {
  readonly log: Log;
  /** Fetched messages that wait to be taken, in bytes; 64 MB by default. One response (16 MB) may come on top. */
  readonly memoryBytes?: number | undefined;
}

export interface StartOptions {
  /** The table's own: messages of older ones are passed over and counted. Without it, that of the first message taken. */
  readonly generation?: number | undefined;
  /** By partition: text of the header of the record before the offset, where known. It is read again and compared. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export interface TakeOptions extends FetchLimits {
  /** How long to wait when there is nothing, milliseconds. */
  readonly waitMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Reads a topic of ours from the ledger's position.
 *
 * Its one invariant: what is taken continues where the last take ended, offset by offset, or a take fails. kafkajs moves its
 * position by itself (it jumps to the first offset when ours is out of range, and starts at the beginning after a rejoin), so
 * each partition is a `Lane` that accepts the next offset and no other. A crash between any two lines costs nothing: the
 * position is the ledger's.
 */
export interface TopicReader {
  /**
   * Reads from these offsets on; every partition is named. Drops what is queued. Must be called again after any failure.
   * @throws Failure `OffsetsExpired`, `TopicReplaced`, `PartitionsChanged`, `BrokerUnavailable` (within about 15 s), `Unauthorized`
   */
  start(offsets: Readonly<Record<string, string>>, options?: StartOptions): Promise<void>;
  /**
   * Text of our header of one record; the reader must be started (again) after it.
   * @returns undefined when the record has expired or is not there; empty when it has no header of ours
   */
  readHeader(partition: number, offset: string): Promise<string | undefined>;
  /**
   * What is there, at once; waits only where there is nothing.
   * @returns undefined when nothing came within `waitMs`, or the signal was aborted
   * @throws Failure `OffsetGap`, `OffsetsExpired`, `TopicReplaced`, `PartitionsChanged`, `Fenced`, `BrokerUnavailable`
   */
  take(options: TakeOptions): Promise<Fetched | undefined>;
  /**
   * A batch that was named before, whole: the same bytes. The ranges begin at the position.
   * @throws as `take`; `TopicReplaced` when the topic ends before the ranges do; the signal's reason
   */
  takeExactly(
    ranges: Readonly<Record<string, OffsetRange>>,
    options?: { readonly signal?: AbortSignal | undefined },
  ): Promise<Fetched>;
  /** Messages that are in the topic and were not taken, as far as is known. */
  waiting(): number;
  /** Leaves and deletes the private groups, best effort. */
  close(): Promise<void>;
}

/**
 * Connects with the first `start`. Measured on two cores with the broker beside it, rows of 200 bytes: 300,000 messages/s;
 * from produce to take p50 3 ms.
 */
export function openReader(kafka: Kafka, topic: string, options: ReaderOptions): Promise<TopicReader> {
  return Promise.resolve(new KafkaReader(kafka, topic, options));
}

class KafkaReader implements TopicReader {
  readonly #kafka: Kafka;
  readonly #topic: string;
  readonly #log: Log;
  readonly #memoryBytes: number;
  readonly #arrival = new Bell();
  readonly #room = new Bell();
  readonly #groups: string[] = [];
  #consumer: PrivateConsumer | undefined;
  #handling: ConsumerHandler | undefined;
  #lanes = new Map<number, Lane>();
  #generation: number | undefined;
  /** Told when the queue is empty: what came before it is good. */
  #failure: Failure | undefined = new Failure('Unexpected', { message: 'The reader was not started.' });
  /** kafkajs is not where we are: ask Kafka why, then seek again. */
  #inDoubt = false;
  #aliveAtMs = 0;
  /** Rises with every start: what was fetched for an older one is dropped. */
  #starts = 0;
  #turn = 0;

  constructor(kafka: Kafka, topic: string, options: ReaderOptions) {
    this.#kafka = kafka;
    this.#topic = topic;
    this.#log = options.log;
    this.#memoryBytes = options.memoryBytes ?? DEFAULT_MEMORY_BYTES;
  }

  async start(offsets: Readonly<Record<string, string>>, options: StartOptions = {}): Promise<void> {
    const state = await this.#state();
    requirePartitions(state, this.#topic, Object.keys(offsets).length);
    const lanes = Object.entries(offsets).map(([partition, offset]) => {
      const high = Number(state.offsets[partition]?.high);
      return new Lane(Number(partition), { next: Number(offset), high, before: options.headers?.[partition] });
    });
    this.#requireRanges(state, lanes);
    this.#generation = options.generation;
    await this.#begin(lanes);
  }

  async readHeader(partition: number, offset: string): Promise<string | undefined> {
    const state = await this.#state();
    const range = state.offsets[String(partition)];
    if (range === undefined || BigInt(offset) < BigInt(range.low) || BigInt(offset) >= BigInt(range.high))
      return undefined;
    const lanes = Object.entries(state.offsets).map(([name, { high }]) =>
      Number(name) === partition
        ? new Lane(partition, { next: Number(offset) + 1, high: Number(high), before: null })
        : new Lane(Number(name), { next: Number(high), high: Number(high) }),
    );
    await this.#begin(lanes);
    return this.#lanes.get(partition)?.found;
  }

  async take(options: TakeOptions): Promise<Fetched | undefined> {
    const starts = this.#starts;
    const deadline = Date.now() + options.waitMs;
    while (starts === this.#starts && options.signal?.aborted !== true) {
      const fetched = this.#collect(options);
      if (fetched !== undefined) return fetched;
      await this.#requireReading();
      const left = deadline - Date.now();
      if (left <= 0) return undefined;
      await this.#arrival.wait(Math.min(left, HEARTBEAT_LOOK_MS), options.signal);
    }
    return undefined;
  }

  async takeExactly(
    ranges: Readonly<Record<string, OffsetRange>>,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Fetched> {
    const state = await this.#state();
    for (const [partition, { last }] of Object.entries(ranges))
      if (BigInt(state.offsets[partition]?.high ?? '0') <= BigInt(last)) throw endsBefore(this.#topic, partition, last);
    const builder = new FetchedBuilder(this.#topic, NO_LIMITS, this.#generation);
    const wanted = Object.entries(ranges).map(([partition, range]) => ({
      lane: this.#laneAt(Number(partition), range.first),
      last: Number(range.last),
    }));
    for (;;) {
      signal?.throwIfAborted();
      for (const { lane, last } of wanted) lane.drainInto(builder, last);
      this.#room.ring();
      if (wanted.every(({ lane, last }) => builder.lastOf(lane.partition) === last)) return builder.finish();
      if (wanted.some(({ lane, last }) => lane.position <= last && !lane.isEmpty))
        throw new Failure('TopicReplaced', {
          message: `A named batch of ${this.#topic} does not read as it did before.`,
        });
      await this.#requireReading();
      await this.#arrival.wait(HEARTBEAT_LOOK_MS, signal);
    }
  }

  waiting(): number {
    let sum = 0;
    for (const lane of this.#lanes.values()) sum += Math.max(0, lane.high - lane.position);
    return sum;
  }

  async close(): Promise<void> {
    this.#reset([]);
    this.#handling = undefined;
    this.#failure = new Failure('Unexpected', { message: `The reader of ${this.#topic} was closed.` });
    await this.#consumer?.close();
    this.#consumer = undefined;
    const groups = this.#groups.splice(0);
    if (groups.length === 0) return;
    await askAdmin(this.#kafka, 'Deleting private groups', (admin) => admin.deleteGroups(groups)).catch(
      (error: unknown) => this.#log.debug({ error, groups }, 'private groups are left to expire'),
    );
  }

  // ---- told by the consumer

  /** What a consumer that was given up still says is not heard. */
  #handler(): ConsumerHandler {
    const handler: ConsumerHandler = {
      seekOffset: (partition) => (isCurrent() ? this.#lanes.get(partition)?.seekOffset() : undefined),
      batch: async (payload) => {
        if (isCurrent()) await this.#batch(payload);
      },
      jumped: () => {
        if (isCurrent()) this.#doubt();
      },
      unseen: () => {
        if (isCurrent()) this.#seekLanes();
      },
      crashed: (failure) => {
        if (!isCurrent()) return;
        this.#handling = undefined;
        this.#consumer = undefined;
        this.#fail(failure);
      },
    };
    const isCurrent = (): boolean => this.#handling === handler;
    this.#handling = handler;
    return handler;
  }

  async #batch(payload: EachBatchPayload): Promise<void> {
    // Fetched for a position that was left since.
    if (payload.isStale()) return;
    const { batch } = payload;
    const starts = this.#starts;
    const lane = this.#lanes.get(batch.partition);
    if (lane === undefined) this.#fail(partitionsChanged(this.#topic, this.#lanes.size, batch.partition + 1));
    else this.#accept(lane, batch);
    // kafkajs fetches again when this returns: waiting here is the back-pressure.
    while (starts === this.#starts && payload.isRunning() && (this.#isFull() || this.#failure !== undefined)) {
      await this.#room.wait(HEARTBEAT_LOOK_MS);
      await payload.heartbeat();
    }
    this.#aliveAtMs = Date.now();
  }

  #accept(lane: Lane, batch: EachBatchPayload['batch']): void {
    lane.high = Math.max(lane.high, Number(batch.highWatermark));
    const answer = lane.accept(batch.messages);
    switch (answer.kind) {
      case 'accepted':
        break;
      case 'rewound':
        this.#doubt();
        break;
      case 'gap':
        // Kafka may have deleted what is missing: then it is told as that.
        this.#doubt();
        this.#fail(offsetGap(this.#topic, lane.partition, answer.expected, answer.found));
        break;
      case 'stranger':
        this.#fail(otherRecord(this.#topic, lane.partition, lane.next - 1));
        break;
      default:
        answer satisfies never;
    }
    this.#arrival.ring();
  }

  // ---- starting

  async #begin(lanes: readonly Lane[]): Promise<void> {
    this.#reset(lanes);
    try {
      if (this.#consumer === undefined) {
        const consumer = await PrivateConsumer.open(this.#kafka, this.#topic, this.#handler());
        this.#groups.push(consumer.groupId);
        this.#consumer = consumer;
      } else {
        this.#seekLanes();
      }
      this.#aliveAtMs = Date.now();
      while (lanes.some((lane) => lane.isAwaitingBefore)) {
        await this.#requireReading();
        await this.#arrival.wait(HEARTBEAT_LOOK_MS);
      }
      await this.#requireReading();
    } catch (error) {
      this.#abandon();
      throw error;
    }
  }

  #reset(lanes: readonly Lane[]): void {
    this.#starts += 1;
    this.#lanes = new Map(lanes.map((lane) => [lane.partition, lane]));
    this.#failure = undefined;
    this.#inDoubt = false;
    this.#room.ring();
    this.#arrival.ring();
  }

  // ---- taking

  #collect(limits: FetchLimits): Fetched | undefined {
    const builder = new FetchedBuilder(this.#topic, limits, this.#generation);
    const lanes = [...this.#lanes.values()];
    // A turn each, so that a full partition does not starve the others.
    this.#turn += 1;
    for (let i = 0; i < lanes.length; i++) lanes[(this.#turn + i) % lanes.length]?.drainInto(builder);
    if (builder.isEmpty) return undefined;
    this.#room.ring();
    return builder.finish();
  }

  #isFull(): boolean {
    let sum = 0;
    for (const lane of this.#lanes.values()) sum += lane.queuedBytes;
    return sum >= this.#memoryBytes;
  }

  #laneAt(partition: number, first: string): Lane {
    const lane = this.#lanes.get(partition);
    if (lane?.position === Number(first)) return lane;
    throw new Failure('Unexpected', {
      message: `A named batch of ${this.#topic}/${partition} begins at ${first}, the position is ${lane?.position ?? 'unknown'}.`,
    });
  }

  /** @throws Failure when nothing more will come */
  async #requireReading(): Promise<void> {
    if (this.#inDoubt) await this.#settleDoubt();
    if (this.#failure !== undefined) throw this.#failure;
    const aliveAtMs = Math.max(this.#aliveAtMs, this.#consumer?.answeredAtMs ?? 0);
    if (Date.now() - aliveAtMs <= SILENCE_MS) return;
    this.#abandon();
    throw this.#fail(
      new Failure('BrokerUnavailable', { message: `Reading topic ${this.#topic}: no answer for 10 s.` }),
    );
  }

  /** Either what we wait for is not there any more, or kafkajs only lost its place. */
  async #settleDoubt(): Promise<void> {
    const state = await this.#state();
    const lanes = [...this.#lanes.values()];
    requirePartitions(state, this.#topic, lanes.length);
    this.#requireRanges(state, lanes);
    this.#inDoubt = false;
    if (this.#failure !== undefined) return;
    this.#log.info({ topic: this.#topic }, 'kafka consumer lost its place; seeking to ours');
    this.#seekLanes();
  }

  /** To our positions, with another look at the record before each. What is being fetched now is dropped by kafkajs. */
  #seekLanes(): void {
    for (const lane of this.#lanes.values()) this.#consumer?.seek(lane.partition, lane.seekOffset());
  }

  #requireRanges(state: TopicState, lanes: readonly Lane[]): void {
    for (const lane of lanes) {
      requireRange(state, this.#topic, lane.partition, lane.next);
      if (lane.next <= Number(state.offsets[String(lane.partition)]?.low)) lane.forgetBefore();
    }
  }

  async #state(): Promise<TopicState> {
    const topic = this.#topic;
    const state = await askAdmin(this.#kafka, `Looking for topic ${topic}`, (admin) => topicState(admin, topic));
    if (state === undefined) throw topicGone(topic);
    return state;
  }

  #doubt(): void {
    this.#inDoubt = true;
    this.#arrival.ring();
  }

  #fail(failure: Failure): Failure {
    this.#failure ??= failure;
    this.#arrival.ring();
    return this.#failure;
  }

  /** The next start makes a new consumer, in a new group: a join of the old one might wait for its session to end. */
  #abandon(): void {
    void this.#consumer?.close();
    this.#consumer = undefined;
    this.#handling = undefined;
    this.#room.ring();
  }
}
