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
import type { Acceptance, Lane } from './lane.js';
import type { Lanes } from './lanes.js';
import { endsBefore, offsetGap, otherRecord } from './topic-doubts.js';
import type { TakeOptions, TopicReading } from './topic-reader.js';

/** For the records before the positions: from a broker that answers they come within a second. */
const START_MS = 15_000;
/** Whoever waits looks up this often, for a silence. */
const LOOK_MS = 1_000;
/** Between two questions about a topic that fails again and again. */
const BETWEEN_DOUBTS_MS = 200;
const TOPIC_AUTHORIZATION_FAILED = 29;
const NO_LIMITS: FetchLimits = { maxRows: Number.MAX_SAFE_INTEGER, maxBytes: Number.MAX_SAFE_INTEGER };

export class KafkaReading implements TopicReading {
  readonly #fetcher: Fetcher;
  readonly #lanes: Lanes;
  readonly #log: Log;
  readonly #arrival = new Bell();
  #feeds: readonly Feed[] = [];
  /** Told when the queue is empty: what came before it is good. */
  #failure: Failure | undefined;
  #isOver = false;
  /** Something is not fetched any more: ask Kafka why, then follow it again. */
  #inDoubt = false;
  #doubtedAtMs = 0;

  constructor(fetcher: Fetcher, lanes: Lanes, log: Log) {
    this.#fetcher = fetcher;
    this.#lanes = lanes;
    this.#log = log;
  }

  /** Follows the topic, once, until the records before the positions were seen. @throws what `TopicReader.start` throws */
  async begin(place: TopicPlace): Promise<void> {
    const wantedAtMs = Date.now();
    this.#feeds = [...this.#lanes].map((lane) => this.#feedOf(lane, wantedAtMs));
    this.#follow(place);
    const deadline = wantedAtMs + START_MS;
    try {
      while (this.#lanes.isAwaitingBefore()) {
        await this.#requireReading();
        if (Date.now() > deadline) throw silence(`Reading topic ${this.#topic}`, START_MS);
        await this.#arrival.wait(LOOK_MS);
      }
      await this.#requireReading();
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  async take(options: TakeOptions): Promise<Fetched | undefined> {
    const deadline = Date.now() + options.waitMs;
    while (options.signal?.aborted !== true) {
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

  /** Fetches nothing more, lets go of what is queued, and tells whoever still takes. The first reason stays. */
  end(why: Failure): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#leave();
    this.#lanes.drop();
    this.#failure = why;
    this.#arrival.ring();
  }

  [Symbol.dispose](): void {
    this.end(new Failure('Unexpected', { message: `The reading of topic ${this.#topic} has ended.` }));
  }

  get #topic(): string {
    return this.#lanes.topic;
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
    const unlessOver = (tell: () => void): void => {
      if (!this.#isOver) tell();
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
      accept: (records, highWatermark) => unlessOver(() => this.#accept(lane, records, highWatermark)),
      lookAgain: () => lane.lookAgain(),
      lost: (reason) => unlessOver(() => this.#lost(reason)),
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
    await sleep(Math.max(0, this.#doubtedAtMs + BETWEEN_DOUBTS_MS - Date.now()));
    this.#doubtedAtMs = Date.now();
    const place = await this.#fetcher.place(this.#topic);
    if (this.#isOver) return;
    this.#lanes.requireIn(place);
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
