import { setTimeout as sleep } from 'node:timers/promises';
import type { OffsetRange } from '../domain/batch.js';
import { classifyKafka } from '../failure/classify-kafka.js';
import { Failure } from '../failure/failure.js';
import type { Log } from '../observe/log.js';
import { Bell } from './bell.js';
import type { TopicPlace } from './brokers.js';
import { silence } from './deadline.js';
import { SILENCE_MS, type Feed } from './fetch-loop.js';
import type { Fetched, FetchLimits } from './fetched.js';
import type { Fetcher } from './fetcher.js';
import { Lane, type Acceptance } from './lane.js';
import { Lanes } from './lanes.js';
import { endsBefore, offsetGap, otherRecord } from './topic-doubts.js';
import type { ReaderOptions, StartOptions, TakeOptions, TopicReader } from './topic-reader.js';

/** For the records before the positions: from a broker that answers they come within a second. */
const START_MS = 15_000;
/** Whoever waits looks up this often, for a silence. */
const LOOK_MS = 1_000;
/** Between two questions about a topic that fails again and again. */
const BETWEEN_DOUBTS_MS = 200;
const TOPIC_AUTHORIZATION_FAILED = 29;
const NO_LIMITS: FetchLimits = { maxRows: Number.MAX_SAFE_INTEGER, maxBytes: Number.MAX_SAFE_INTEGER };

export class KafkaReader implements TopicReader {
  readonly #fetcher: Fetcher;
  readonly #topic: string;
  readonly #log: Log;
  readonly #arrival = new Bell();
  #lanes: Lanes;
  #feeds: readonly Feed[] = [];
  /** Told when the queue is empty: what came before it is good. */
  #failure: Failure | undefined = new Failure('Unexpected', { message: 'The reader was not started.' });
  /** Something is not fetched any more: ask Kafka why, then follow it again. */
  #inDoubt = false;
  #doubtedAtMs = 0;
  /** Rises with every start: who takes for an older one gets nothing. */
  #starts = 0;

  constructor(fetcher: Fetcher, topic: string, options: ReaderOptions) {
    this.#fetcher = fetcher;
    this.#topic = topic;
    this.#log = options.log;
    this.#lanes = new Lanes(topic, []);
  }

  async start(offsets: Readonly<Record<string, string>>, options: StartOptions = {}): Promise<void> {
    const place = await this.#fetcher.place(this.#topic);
    const lanes = Object.entries(offsets).map(([partition, offset]) =>
      this.#laneAt(place, Number(partition), { next: Number(offset), before: options.headers?.[partition] }),
    );
    const started = new Lanes(this.#topic, lanes, options.generation);
    started.requireIn(place);
    await this.#begin(started, place);
  }

  async readHeader(partition: number, offset: string): Promise<string | undefined> {
    const place = await this.#fetcher.place(this.#topic);
    const range = place.offsets[String(partition)];
    if (range === undefined || BigInt(offset) < BigInt(range.low) || BigInt(offset) >= BigInt(range.high))
      return undefined;
    const lane = this.#laneAt(place, partition, { next: Number(offset) + 1, before: null });
    await this.#begin(new Lanes(this.#topic, [lane]), place);
    return lane.found;
  }

  async take(options: TakeOptions): Promise<Fetched | undefined> {
    const starts = this.#starts;
    const deadline = Date.now() + options.waitMs;
    while (starts === this.#starts && options.signal?.aborted !== true) {
      const fetched = this.#lanes.collect(options);
      if (fetched !== undefined) {
        this.#wakeFeeds();
        return fetched;
      }
      await this.#requireReading();
      const left = deadline - Date.now();
      if (left <= 0) return undefined;
      await this.#arrival.wait(Math.min(left, LOOK_MS), options.signal);
    }
    return undefined;
  }

  async takeExactly(
    ranges: Readonly<Record<string, OffsetRange>>,
    { signal }: { readonly signal?: AbortSignal | undefined } = {},
  ): Promise<Fetched> {
    const place = await this.#fetcher.place(this.#topic);
    for (const [partition, { last }] of Object.entries(ranges))
      if (BigInt(place.offsets[partition]?.high ?? '0') <= BigInt(last)) throw endsBefore(this.#topic, partition, last);
    const builder = this.#lanes.builder(NO_LIMITS);
    const wanted = Object.entries(ranges).map(([partition, range]) => ({
      lane: this.#lanes.at(Number(partition), range.first),
      last: Number(range.last),
    }));
    for (;;) {
      signal?.throwIfAborted();
      for (const { lane, last } of wanted) lane.drainInto(builder, last);
      this.#wakeFeeds();
      if (wanted.every(({ lane, last }) => builder.lastOf(lane.partition) === last)) return builder.finish();
      if (wanted.some(({ lane, last }) => lane.position <= last && !lane.isEmpty))
        throw new Failure('TopicReplaced', {
          message: `A named batch of ${this.#topic} does not read as it did before.`,
        });
      await this.#requireReading();
      await this.#arrival.wait(LOOK_MS, signal);
    }
  }

  waiting(): number {
    return this.#lanes.waiting();
  }

  close(): void {
    this.#reset(new Lanes(this.#topic, []));
    this.#failure = new Failure('Unexpected', { message: `The reader of ${this.#topic} was closed.` });
  }

  // ---- starting

  #laneAt(place: TopicPlace, partition: number, start: { next: number; before: string | null | undefined }): Lane {
    const high = Number(place.offsets[String(partition)]?.high ?? '0');
    return new Lane(this.#topic, partition, this.#fetcher.memory, { ...start, high });
  }

  async #begin(lanes: Lanes, place: TopicPlace): Promise<void> {
    this.#reset(lanes);
    const wantedAtMs = Date.now();
    this.#feeds = [...lanes].map((lane) => this.#feedOf(lane, wantedAtMs));
    this.#follow(place);
    const deadline = wantedAtMs + START_MS;
    try {
      while (lanes.isAwaitingBefore()) {
        await this.#requireReading();
        if (Date.now() > deadline) throw silence(`Reading topic ${this.#topic}`, START_MS);
        await this.#arrival.wait(LOOK_MS);
      }
      await this.#requireReading();
    } catch (error) {
      if (lanes === this.#lanes) this.#leave();
      throw error;
    }
  }

  #reset(lanes: Lanes): void {
    this.#leave();
    this.#lanes.drop();
    this.#starts += 1;
    this.#lanes = lanes;
    this.#failure = undefined;
    this.#inDoubt = false;
    this.#arrival.ring();
  }

  /** From the beginning, with a look at the record before each position. */
  #follow(place: TopicPlace): void {
    for (const lane of this.#lanes) lane.lookAgain();
    for (const feed of this.#feeds) this.#fetcher.follow(feed, place.leaders[String(feed.partition)] ?? -1);
  }

  #leave(): void {
    for (const feed of this.#feeds) this.#fetcher.leave(feed);
  }

  // ---- told by the fetcher

  #feedOf(lane: Lane, wantedAtMs: number): Feed {
    const lanes = this.#lanes;
    const ifCurrent = (tell: () => void): void => {
      if (lanes === this.#lanes) tell();
    };
    return {
      topic: this.#topic,
      partition: lane.partition,
      get offset() {
        return lane.wanted;
      },
      get queuedBytes() {
        return lanes.queuedBytes();
      },
      get isLooking() {
        return lane.isAwaitingBefore;
      },
      seenAtMs: 0,
      wantedAtMs,
      // It has just been asked for: it moves, or had better be seen soon.
      busyUntilMs: wantedAtMs,
      accept: (records, highWatermark) => ifCurrent(() => this.#accept(lane, records, highWatermark)),
      lookAgain: () => lane.lookAgain(),
      lost: (reason) => ifCurrent(() => this.#lost(reason)),
    };
  }

  #accept(lane: Lane, records: Buffer, highWatermark: number): void {
    lane.high = Math.max(lane.high, highWatermark);
    if (records.length === 0) return;
    let answer: Acceptance;
    try {
      answer = lane.accept(records);
    } catch (error) {
      this.#fail(classifyKafka(error, `Reading topic ${this.#topic}`));
      return;
    }
    switch (answer.kind) {
      case 'accepted':
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

  #lost(reason: number | Failure): void {
    if (reason === TOPIC_AUTHORIZATION_FAILED)
      this.#fail(
        new Failure('Unauthorized', { message: `Kafka does not let this user read the topic ${this.#topic}.` }),
      );
    this.#log.debug(
      { topic: this.#topic, reason: typeof reason === 'number' ? reason : reason.kind },
      'kafka does not serve the topic; asking where it is',
    );
    this.#doubt();
  }

  // ---- taking

  #wakeFeeds(): void {
    for (const feed of this.#feeds) this.#fetcher.wake(feed);
  }

  /** @throws Failure when nothing more will come */
  async #requireReading(): Promise<void> {
    if (this.#inDoubt) await this.#settleDoubt();
    if (this.#failure !== undefined) throw this.#failure;
    const aliveAtMs = Math.min(...this.#feeds.map(({ seenAtMs, wantedAtMs }) => Math.max(seenAtMs, wantedAtMs)));
    if (Date.now() - aliveAtMs <= SILENCE_MS) return;
    throw this.#fail(silence(`Reading topic ${this.#topic}`, SILENCE_MS));
  }

  /** Either what we wait for is not there any more, or it is led by another broker now. */
  async #settleDoubt(): Promise<void> {
    const lanes = this.#lanes;
    await sleep(Math.max(0, this.#doubtedAtMs + BETWEEN_DOUBTS_MS - Date.now()));
    this.#doubtedAtMs = Date.now();
    const place = await this.#fetcher.place(this.#topic);
    if (lanes !== this.#lanes) return;
    lanes.requireIn(place);
    this.#inDoubt = false;
    if (this.#failure !== undefined) return;
    this.#leave();
    this.#follow(place);
  }

  #doubt(): void {
    this.#inDoubt = true;
    this.#arrival.ring();
  }

  /** Nothing is fetched after it: the next start follows anew. */
  #fail(failure: Failure): Failure {
    this.#failure ??= failure;
    this.#leave();
    this.#arrival.ring();
    return this.#failure;
  }
}
