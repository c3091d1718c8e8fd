import type { EachBatchPayload, Kafka } from 'kafkajs';
import type { OffsetRange } from '../domain/batch.js';
import { Failure } from '../failure/failure.js';
import type { Log } from '../observe/log.js';
import { askAdmin } from './ask-admin.js';
import { Bell } from './bell.js';
import { silence, withDeadline } from './deadline.js';
import type { Fetched, FetchLimits } from './fetched.js';
import { Lane } from './lane.js';
import { Lanes } from './lanes.js';
import { PrivateConsumer, type ConsumerHandler } from './private-consumer.js';
import { endsBefore, offsetGap, otherRecord, partitionsChanged, topicGone } from './topic-doubts.js';
import type { ReaderOptions, StartOptions, TakeOptions, TopicReader } from './topic-reader.js';
import { topicState, type TopicState } from './topic.js';

const DEFAULT_MEMORY_BYTES = 64_000_000;
/** Without an answer to a fetch for this long, while there is room for one, Kafka counts as away. */
const SILENCE_MS = 10_000;
/** For the records before the positions: from a broker that answers they come within a second. */
const START_MS = 15_000;
const DELETE_MS = 3_000;
/** A fetcher that waits for room looks up this often, for its heartbeat. */
const HEARTBEAT_LOOK_MS = 1_000;
const NO_LIMITS: FetchLimits = { maxRows: Number.MAX_SAFE_INTEGER, maxBytes: Number.MAX_SAFE_INTEGER };

export class KafkaReader implements TopicReader {
  readonly #kafka: Kafka;
  readonly #topic: string;
  readonly #log: Log;
  readonly #memoryBytes: number;
  readonly #arrival = new Bell();
  readonly #room = new Bell();
  readonly #groups: string[] = [];
  #consumer: PrivateConsumer | undefined;
  #handling: ConsumerHandler | undefined;
  #lanes: Lanes;
  /** Told when the queue is empty: what came before it is good. */
  #failure: Failure | undefined = new Failure('Unexpected', { message: 'The reader was not started.' });
  /** kafkajs is not where we are: ask Kafka why, then seek again. */
  #inDoubt = false;
  #aliveAtMs = 0;
  /** Rises with every start: what was fetched for an older one is dropped. */
  #starts = 0;

  constructor(kafka: Kafka, topic: string, options: ReaderOptions) {
    this.#kafka = kafka;
    this.#topic = topic;
    this.#log = options.log;
    this.#memoryBytes = options.memoryBytes ?? DEFAULT_MEMORY_BYTES;
    this.#lanes = new Lanes(topic, []);
  }

  async start(offsets: Readonly<Record<string, string>>, options: StartOptions = {}): Promise<void> {
    const state = await this.#state();
    const lanes = Object.entries(offsets).map(([partition, offset]) => {
      const high = Number(state.offsets[partition]?.high ?? '0');
      return new Lane(Number(partition), { next: Number(offset), high, before: options.headers?.[partition] });
    });
    await this.#begin(new Lanes(this.#topic, lanes, options.generation), state);
  }

  async readHeader(partition: number, offset: string): Promise<string | undefined> {
    const state = await this.#state();
    const range = state.offsets[String(partition)];
    if (range === undefined || BigInt(offset) < BigInt(range.low) || BigInt(offset) >= BigInt(range.high))
      return undefined;
    // The others wait at their ends.
    const lanes = Object.entries(state.offsets).map(([name, { high }]) =>
      Number(name) === partition
        ? new Lane(partition, { next: Number(offset) + 1, high: Number(high), before: null })
        : new Lane(Number(name), { next: Number(high), high: Number(high) }),
    );
    await this.#begin(new Lanes(this.#topic, lanes), state);
    return this.#lanes.get(partition)?.found;
  }

  async take(options: TakeOptions): Promise<Fetched | undefined> {
    const starts = this.#starts;
    const deadline = Date.now() + options.waitMs;
    while (starts === this.#starts && options.signal?.aborted !== true) {
      const fetched = this.#lanes.collect(options);
      if (fetched !== undefined) {
        this.#room.ring();
        return fetched;
      }
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
    const builder = this.#lanes.builder(NO_LIMITS);
    const wanted = Object.entries(ranges).map(([partition, range]) => ({
      lane: this.#lanes.at(Number(partition), range.first),
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
    return this.#lanes.waiting();
  }

  async close(): Promise<void> {
    this.#reset(new Lanes(this.#topic, []));
    this.#handling = undefined;
    this.#failure = new Failure('Unexpected', { message: `The reader of ${this.#topic} was closed.` });
    await this.#consumer?.close();
    this.#consumer = undefined;
    const groups = this.#groups.splice(0);
    if (groups.length === 0) return;
    const deleted = askAdmin(this.#kafka, 'Deleting private groups', (admin) => admin.deleteGroups(groups));
    await withDeadline(deleted, DELETE_MS, () => new Error('late')).catch(() =>
      this.#log.debug({ groups }, 'private kafka groups are left to expire'),
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
    if (lane === undefined) this.#fail(partitionsChanged(this.#topic, this.#lanes.count, batch.partition + 1));
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

  async #begin(lanes: Lanes, state: TopicState): Promise<void> {
    lanes.requireIn(state);
    this.#reset(lanes);
    const deadline = Date.now() + START_MS;
    try {
      if (this.#consumer === undefined) {
        const consumer = await PrivateConsumer.open(this.#kafka, this.#topic, this.#handler());
        this.#groups.push(consumer.groupId);
        this.#consumer = consumer;
      } else {
        this.#seekLanes();
      }
      this.#aliveAtMs = Date.now();
      await this.#requireReading();
      while (lanes.isAwaitingBefore()) {
        if (Date.now() > deadline) throw silence(`Reading topic ${this.#topic}`, START_MS);
        await this.#arrival.wait(HEARTBEAT_LOOK_MS);
        await this.#requireReading();
      }
    } catch (error) {
      this.#abandon();
      throw error;
    }
  }

  #reset(lanes: Lanes): void {
    this.#starts += 1;
    this.#lanes = lanes;
    this.#failure = undefined;
    this.#inDoubt = false;
    this.#room.ring();
    this.#arrival.ring();
  }

  // ---- taking

  #isFull(): boolean {
    return this.#lanes.queuedBytes() >= this.#memoryBytes;
  }

  /** @throws Failure when nothing more will come */
  async #requireReading(): Promise<void> {
    if (this.#inDoubt) await this.#settleDoubt();
    if (this.#failure !== undefined) throw this.#failure;
    const aliveAtMs = Math.max(this.#aliveAtMs, this.#consumer?.answeredAtMs ?? 0);
    if (Date.now() - aliveAtMs <= SILENCE_MS) return;
    this.#abandon();
    throw this.#fail(silence(`Reading topic ${this.#topic}`, SILENCE_MS));
  }

  /** Either what we wait for is not there any more, or kafkajs only lost its place. */
  async #settleDoubt(): Promise<void> {
    const lanes = this.#lanes;
    const state = await this.#state();
    if (lanes !== this.#lanes) return;
    lanes.requireIn(state);
    this.#inDoubt = false;
    if (this.#failure !== undefined) return;
    this.#log.info({ topic: this.#topic }, 'kafka consumer lost its place; seeking to ours');
    this.#seekLanes();
  }

  /** To our positions, with another look at the record before each. What is being fetched now is dropped by kafkajs. */
  #seekLanes(): void {
    for (const lane of this.#lanes) this.#consumer?.seek(lane.partition, lane.seekOffset());
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
