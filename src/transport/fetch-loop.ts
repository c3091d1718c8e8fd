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
/** Fetches are answered every 250 ms, but for a feed that waits for room, and a process that stood still. */
const UNSEEN_MS = 1_000;
/**
 * How long a broker holds an answer while it has nothing: one that joins waits for it. A broker looks at each partition of the
 * session every time, so a thousand of them are asked for less often than ten.
 */
const LEAST_WAIT_MS = 50;
const MOST_WAIT_MS = 250;
/** Of one partition in a response: several tables with a backlog share one. */
const PARTITION_BYTES = 2_000_000;
/** Where every feed waits for room, they ring when they get it. */
const ROOM_LOOK_MS = 100;

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
  /** The offset that the broker was asked for last. */
  asked: number | undefined;
  /** Since when the broker is asked for it without a break, `Date.now()`. */
  joinedAtMs: number;
  /** It was left out for want of room. */
  isOut: boolean;
}

/**
 * All fetching from one broker: one request at a time for all partitions that it leads and that have room. A broker answers as
 * soon as one of them has something. A feed that fails once, or whose broker fails, is let go and told: where it is led now, and whether
 * it is still the same topic, is asked by whoever reads it.
 */
export class FetchLoop {
  readonly #node: number;
  readonly #brokers: Brokers;
  readonly #memory: FetchMemory;
  readonly #members = new Map<string, Member>();
  /** Those that may want something else than what the session has. */
  readonly #touched = new Set<Member>();
  readonly #bell = new Bell();
  #isRunning = false;

  constructor(node: number, brokers: Brokers, memory: FetchMemory) {
    this.#node = node;
    this.#brokers = brokers;
    this.#memory = memory;
  }

  follow(feed: Feed): void {
    const member = { key: `${feed.topic}/${feed.partition}`, feed, asked: undefined, joinedAtMs: 0, isOut: false };
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
      try {
        broker = await this.#brokers.get(this.#node);
        await this.#fetchFrom(broker);
      } catch (error) {
        const failure = classifyKafka(error, `Fetching from broker ${this.#node}`);
        if (broker !== undefined) await this.#brokers.hangUp(broker, failure);
        for (const member of this.#members.values()) this.#lose(member, failure);
      }
    }
    this.#isRunning = false;
  }

  async #fetchFrom(broker: KafkaBroker): Promise<void> {
    const session = new FetchSession();
    while (this.#members.size > 0) {
      this.#settle(session);
      if (session.size === 0) {
        await this.#bell.wait(ROOM_LOOK_MS);
        continue;
      }
      const request = fetchRequest({
        ...session.next(),
        maxWaitMs: Math.min(MOST_WAIT_MS, Math.max(LEAST_WAIT_MS, session.size)),
        maxBytes: this.#memory.responseBytes(),
        partitionMaxBytes: PARTITION_BYTES,
      });
      const late = (): Failure => silence(`Fetching from broker ${this.#node}`, SILENCE_MS);
      const sentAtMs = Date.now();
      const answer = await withDeadline(broker.connectionPool.send(request), SILENCE_MS, late);
      this.#hear(session, answer, Date.now() - sentAtMs);
    }
  }

  /** Brings what the broker is asked for in line with what its feeds want. */
  #settle(session: FetchSession): void {
    for (const member of this.#touched) {
      const { key, feed } = member;
      if (this.#members.get(key) !== member) {
        // Another may have come in its place.
        if (!this.#members.has(key)) session.forget(key);
        this.#touched.delete(member);
        continue;
      }
      if (!this.#memory.hasRoom(feed.queuedBytes)) {
        session.forget(key);
        member.isOut = true;
        // Asked again each time: room is also what others take out.
        continue;
      }
      if (member.asked === undefined || !session.has(key)) {
        member.joinedAtMs = Date.now();
        if (member.isOut) feed.wantedAtMs = member.joinedAtMs;
        if (member.joinedAtMs - feed.seenAtMs > UNSEEN_MS) feed.lookAgain();
      }
      member.isOut = false;
      member.asked = feed.offset;
      session.want(key, { topic: feed.topic, partition: feed.partition, offset: feed.offset });
      if (feed.queuedBytes === 0) this.#touched.delete(member);
    }
  }

  #hear(session: FetchSession, answer: FetchAnswer, tookMs: number): void {
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
      if (!isKept || now - Math.max(member.feed.seenAtMs, member.joinedAtMs) > UNSEEN_MS) this.#lookAgain(member);
      member.feed.seenAtMs = now;
    }
    for (const found of answer.partitions) {
      const member = this.#askedFor(found);
      if (member === undefined) continue;
      member.feed.accept(unpinned(found, answer), found.highWatermark);
      this.#touch(member);
      // A slow link: the next answer is late too, and must not be dropped for it.
      if (tookMs > UNSEEN_MS / 2) this.#lookAgain(member);
    }
  }

  /** Undefined for an answer to what is not asked any more. */
  #askedFor({ topic, partition }: FetchedPartition): Member | undefined {
    const member = this.#members.get(`${topic}/${partition}`);
    return member?.asked === member?.feed.offset ? member : undefined;
  }

  #lookAgain(member: Member): void {
    member.feed.lookAgain();
    this.#touch(member);
  }

  #lose(member: Member, reason: number | Failure): void {
    this.#members.delete(member.key);
    this.#touched.add(member);
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
