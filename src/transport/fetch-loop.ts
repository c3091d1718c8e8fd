import { classifyKafka } from '../failure/classify-kafka.js';
import type { Failure } from '../failure/failure.js';
import { Bell } from './bell.js';
import type { Brokers } from './brokers.js';
import type { KafkaBroker } from './cluster.js';
import { silence, withDeadline } from './deadline.js';
import type { FetchMemory } from './fetch-memory.js';
import { fetchRequest, type FetchAnswer, type FetchedPartition } from './fetch-request.js';
import { FetchSession } from './fetch-session.js';

/** Without an answer for this long a broker counts as away, though its socket is open. */
export const SILENCE_MS = 10_000;
/** Nobody was asked for so long: a topic may have been deleted, made anew and filled. A feed may wait for room, a process stand still. */
const UNSEEN_MS = 1_000;
/** How long a broker holds an answer while it has nothing; so long may one that joins have to wait. */
const WAIT_MS = 250;
/** A partition that brought nothing for so long is asked for with the quiet ones. */
const QUIET_AFTER_MS = 5_000;
/** Of one partition in a response: several tables with a backlog share one. */
const PARTITION_BYTES = 2_000_000;
/** Where every feed waits for room, they ring when they get it. */
const ROOM_LOOK_MS = 100;
/** Where none is to be fetched here, they ring when that changes. */
const IDLE_LOOK_MS = 60_000;

/** A partition that is fetched for somebody. */
export interface Feed {
  readonly topic: string;
  readonly partition: number;
  /** The offset to fetch next. */
  readonly offset: number;
  /** What waits to be taken, of the whole table. */
  readonly queuedBytes: number;
  /** When a broker that was asked for it answered last, `Date.now()`; kept by the loop. */
  seenAtMs: number;
  /** Since when it wants to be fetched, after a time without room; kept by the loop. */
  wantedAtMs: number;
  /** Until when it counts as busy, `Date.now()`; kept by the loop. */
  busyUntilMs: number;
  /** `offset` is that of the record before: it has to be the one that we knew. */
  readonly isLooking: boolean;
  /** Record batches from `offset` on, none where there is nothing new. Must not throw. */
  accept(records: Buffer, highWatermark: number): void;
  /** The topic may have been deleted and made anew since it was seen: `offset` goes back to the record before. */
  lookAgain(): void;
  /** Not fetched any more. @param reason Kafka's number of an error of this partition, or what befell the broker */
  lost(reason: number | Failure): void;
}

interface Member {
  readonly key: string;
  readonly feed: Feed;
  /** The offset that the broker was asked for last; undefined where its answer is not wanted any more. */
  asked: number | undefined;
  /** It was left out for want of room. */
  isOut: boolean;
}

/**
 * Fetches from one broker: one request at a time for all partitions that it leads and that have room, which is answered as soon as one
 * of them has something. A feed that fails once, or whose broker fails, is let go and told: where it is led now, and whether it
 * is still the same topic, is asked by whoever reads it.
 *
 * There are two for a broker. It looks at every partition of a request, however quiet they are: with a thousand of them in the request
 * that is repeated for each row of a busy table, it would do little else. So the quiet ones wait in a request of their own. A
 * feed is a member of both, and moves without a break: it stays in one until it is in the other, and whatever comes twice is dropped,
 * because it is not what the feed wants any more.
 */
export class FetchLoop {
  readonly #node: number;
  readonly #brokers: Brokers;
  readonly #memory: FetchMemory;
  readonly #isForQuiet: boolean;
  #other: FetchLoop | undefined;
  readonly #members = new Map<string, Member>();
  /** Those that may want something else than what the session has. */
  readonly #touched = new Set<Member>();
  readonly #bell = new Bell();
  #session = new FetchSession();
  #isRunning = false;

  constructor(node: number, brokers: Brokers, memory: FetchMemory, isForQuiet: boolean) {
    this.#node = node;
    this.#brokers = brokers;
    this.#memory = memory;
    this.#isForQuiet = isForQuiet;
  }

  /** @returns the loop for the busy ones and that for the quiet ones; each has connections of its own */
  static pair(node: number, busy: Brokers, quiet: Brokers, memory: FetchMemory): readonly [FetchLoop, FetchLoop] {
    const loops = [new FetchLoop(node, busy, memory, false), new FetchLoop(node, quiet, memory, true)] as const;
    loops[0].#other = loops[1];
    loops[1].#other = loops[0];
    return loops;
  }

  follow(feed: Feed): void {
    const member = { key: `${feed.topic}/${feed.partition}`, feed, asked: undefined, isOut: false };
    this.#members.set(member.key, member);
    this.#touch(member);
    if (!this.#isRunning) void this.#run();
  }

  leave(feed: Feed): void {
    const member = this.#memberOf(feed);
    if (member === undefined) return;
    this.#members.delete(member.key);
    this.#touch(member);
  }

  /** It has other wishes, or more room. */
  wake(feed: Feed): void {
    const member = this.#memberOf(feed);
    if (member !== undefined) this.#touch(member);
  }

  /** Whether the broker is being asked for it here. */
  holds(feed: Feed): boolean {
    const member = this.#memberOf(feed);
    return member?.asked !== undefined && this.#session.has(member.key);
  }

  /** What it is being asked for is not wanted any more. */
  disown(feed: Feed): void {
    const member = this.#memberOf(feed);
    if (member === undefined) return;
    member.asked = undefined;
    this.#touch(member);
  }

  /** At once: all are lost. */
  close(reason: Failure): void {
    for (const member of this.#members.values()) this.#lose(member, reason);
  }

  #touch(member: Member): void {
    this.#touched.add(member);
    this.#bell.ring();
  }

  #memberOf(feed: Feed): Member | undefined {
    const member = this.#members.get(`${feed.topic}/${feed.partition}`);
    return member?.feed === feed ? member : undefined;
  }

  /** Until nobody is left. Never rejects. */
  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#members.size > 0) {
      let broker: KafkaBroker | undefined;
      this.#session = new FetchSession();
      try {
        await this.#untilWanted();
        const [member] = this.#members.values();
        if (member === undefined) break;
        broker = await this.#brokers.get(this.#node, member.feed.topic);
        while (this.#members.size > 0) await this.#fetchFrom(broker);
      } catch (error) {
        const failure = classifyKafka(error, `Fetching from broker ${this.#node}`);
        if (broker !== undefined) await this.#brokers.hangUp(broker, failure);
        for (const member of this.#members.values()) if (this.holds(member.feed)) this.#lose(member, failure);
      }
    }
    this.#isRunning = false;
  }

  async #fetchFrom(broker: KafkaBroker): Promise<void> {
    await this.#untilWanted();
    if (this.#session.size === 0) return;
    const request = fetchRequest({
      ...this.#session.next(),
      maxWaitMs: WAIT_MS,
      maxBytes: this.#memory.responseBytes(this.#isForQuiet),
      partitionMaxBytes: PARTITION_BYTES,
    });
    const late = (): Failure => silence(`Fetching from broker ${this.#node}`, SILENCE_MS);
    const sentAtMs = Date.now();
    const answer = await withDeadline(broker.connectionPool.send(request), SILENCE_MS, late);
    this.#hear(answer, sentAtMs);
  }

  /** Until there is something to fetch, or nobody is left. */
  async #untilWanted(): Promise<void> {
    while (this.#members.size > 0) {
      this.#settle();
      if (this.#session.size > 0) return;
      await this.#bell.wait(this.#touched.size > 0 ? ROOM_LOOK_MS : IDLE_LOOK_MS);
    }
  }

  /** Brings what the broker is asked for in line with what its feeds want. */
  #settle(): void {
    const now = Date.now();
    for (const member of this.#touched) {
      const { key, feed } = member;
      if (this.#members.get(key) !== member) {
        // Another may have come in its place.
        if (!this.#members.has(key)) this.#session.forget(key);
        this.#touched.delete(member);
        continue;
      }
      const isQuiet = feed.busyUntilMs < now;
      const isAtHome = isQuiet === this.#isForQuiet;
      if (!isAtHome && this.#other?.holds(feed) === true) {
        this.#drop(member);
        this.#touched.delete(member);
        continue;
      }
      if (!isAtHome) this.#other?.wake(feed);
      if (!this.#memory.hasRoom(feed.queuedBytes)) {
        this.#drop(member);
        member.isOut = true;
        // Looked at each time: room is also what others take out.
        continue;
      }
      if (member.isOut) feed.wantedAtMs = now;
      member.isOut = false;
      if (!this.holds(feed) && now - feed.seenAtMs > UNSEEN_MS) this.#lookAgain(member);
      member.asked = feed.offset;
      this.#session.want(key, { topic: feed.topic, partition: feed.partition, offset: feed.offset });
      // A busy one is looked at each time: it may have become quiet.
      if (isQuiet && isAtHome && feed.queuedBytes === 0) this.#touched.delete(member);
    }
  }

  #hear(answer: FetchAnswer, sentAtMs: number): void {
    const session = this.#session;
    const isKept = session.answered(answer.errorCode, answer.sessionId);
    if (isKept && answer.errorCode !== 0) throw this.#refused(answer.errorCode);
    for (const found of answer.partitions) {
      const member = this.#askedFor(found);
      if (member !== undefined && found.errorCode !== 0) this.#lose(member, found.errorCode);
    }
    const now = Date.now();
    for (const member of this.#members.values()) {
      if (!session.has(member.key) || member.asked !== member.feed.offset) continue;
      // Where this changes the offset, what has come now is dropped: it may belong to another topic. Where the record before was
      // asked for already, the answer has it, and its own proof.
      if (!isKept || sentAtMs - member.feed.seenAtMs > UNSEEN_MS) this.#lookAgain(member);
      member.feed.seenAtMs = now;
    }
    const tookMs = now - sentAtMs;
    for (const found of answer.partitions) {
      const member = this.#askedFor(found);
      if (member === undefined) continue;
      const { feed } = member;
      const onlyProof = feed.isLooking ? feed.offset + 1 : undefined;
      if (found.records.length > 0) {
        feed.busyUntilMs = now + QUIET_AFTER_MS;
        this.#other?.wake(feed);
      }
      feed.accept(unpinned(found, answer), found.highWatermark);
      this.#touch(member);
      // A slow link: the next question comes late. But a look that brought nothing new is followed by one at what is new: where a
      // batch and the one before it are too large for one answer, there would be no end of it.
      if (tookMs > UNSEEN_MS / 2 && feed.offset !== onlyProof) this.#lookAgain(member);
    }
    if (tookMs <= UNSEEN_MS) return;
    for (const member of this.#members.values())
      if (session.has(member.key) && member.asked === member.feed.offset) this.#lookAgain(member);
  }

  /** Undefined for an answer to what is not asked any more. */
  #askedFor({ topic, partition }: FetchedPartition): Member | undefined {
    const member = this.#members.get(`${topic}/${partition}`);
    return member?.asked === member?.feed.offset ? member : undefined;
  }

  /** Where that changes the offset, no answer to an older request counts, not even one that would fit. */
  #lookAgain(member: Member): void {
    const { feed } = member;
    const before = feed.offset;
    feed.lookAgain();
    this.#touch(member);
    if (feed.offset === before) return;
    member.asked = undefined;
    this.#other?.disown(feed);
  }

  #drop(member: Member): void {
    member.asked = undefined;
    this.#session.forget(member.key);
  }

  #lose(member: Member, reason: number | Failure): void {
    this.leave(member.feed);
    this.#other?.leave(member.feed);
    member.feed.lost(reason);
  }

  #refused(errorCode: number): Error {
    return new Error(`broker ${this.#node} refused a fetch with error ${errorCode}`);
  }
}

/** A copy, where the answer holds much else: one that waits would keep the memory of all. */
function unpinned({ records }: FetchedPartition, answer: FetchAnswer): Buffer {
  return records.length > answer.bytes / 2 ? records : Buffer.from(records);
}
