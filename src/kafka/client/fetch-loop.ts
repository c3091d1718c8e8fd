import { decodeFetch, encodeFetch, FETCH, type FetchedPartition, type FetchResponse } from '../protocol/requests.js';
import type { Brokers } from './brokers.js';
import { FetchRefused } from './errors.js';
import type { FetchMemory } from './fetch-memory.js';
import { FetchSession } from './fetch-session.js';
import { exchange, protocolErrorName, type Broker } from './kafkajs.js';
import { Notifier, withTimeout } from './waiting.js';

/** Without a response for this long a broker counts as away, though its socket is open. */
export const RESPONSE_MS = 10_000;
/**
 * A partition that was not fetched for this long may belong to a topic that was deleted, made again and filled in the
 * meantime: the record before the position is verified first.
 */
const UNSEEN_MS = 1_000;
/** How long a broker holds a response while it has nothing. A partition that joins waits for it. */
const WAIT_MS = 250;
/** Of one partition in a response: several readers with a backlog share a response. */
const PARTITION_BYTES = 2_000_000;
/** Between two checks whether a partition has room again: what other readers take makes room too. */
const ROOM_POLL_MS = 100;
/** While there is nothing to fetch; a notification comes before that. */
const NOTHING_MS = 60_000;

/** What reads a partition. */
export interface FetchTarget {
  readonly topic: string;
  readonly partition: number;
  /** The offset to fetch next. */
  readonly offset: number;
  /** What waits to be taken, of all partitions of the reader. */
  readonly queuedBytes: number;
  /** `offset` is that of the record before the position, which is compared with the one that is known. */
  readonly isVerifying: boolean;
  /** Record batches from `offset` on, none where there is nothing new. Must not throw. */
  accept(records: Buffer, highWatermark: number): void;
  /** The topic may have been deleted and made again: `offset` goes back to the record before the position, where that is known. */
  verify(): void;
  /** It is not fetched any more. @param reason Kafka's error code for this partition, or what happened to the broker */
  lost(reason: number | Error): void;
}

/** The state of a partition that is fetched: kept while it moves from one loop to another. */
export class FetchPartition {
  readonly key: string;
  readonly target: FetchTarget;
  /** The loop that it is in. */
  loop: FetchLoop | undefined;
  /** The offset in the request that is out; undefined where its response is not wanted any more. */
  requested: number | undefined;
  /** It is left out of requests until its reader has room. */
  isPaused = false;
  /** When a broker answered a request for it last, `Date.now()`. */
  seenAtMs = 0;
  /** Since when it is to be fetched, after a time without room. */
  wantedAtMs = Date.now();
  /** It is fetched with the busy ones until then. */
  busyUntilMs = 0;

  constructor(target: FetchTarget) {
    this.key = `${target.topic}/${target.partition}`;
    this.target = target;
  }
}

/** What a loop reports. */
export interface FetchEvents {
  /** Records came for the partition. */
  received(partition: FetchPartition): void;
  /** The partition has left the loop. */
  lost(partition: FetchPartition, reason: number | Error): void;
}

export interface FetchLoopOptions {
  readonly node: number;
  readonly brokers: Brokers;
  readonly memory: FetchMemory;
  /** Its responses are limited to what idle partitions may bring. */
  readonly isForIdle: boolean;
  readonly events: FetchEvents;
}

/**
 * Fetches from one broker: one request at a time for all its partitions that have room, which is answered as soon as one of them
 * has something. A partition that fails, or whose broker fails, leaves and is reported: its reader finds out where it is led now,
 * and whether it is still the same topic.
 *
 * Its invariant: a response counts for a partition only while the partition is in this loop and still wants the offset that was
 * requested. So a partition may leave at any time, and is never handed records that it does not expect next. It joins when the
 * loop is connected and about to send a request, and stays in the loop where it was until then: a move leaves no time in which
 * it is not requested.
 */
export class FetchLoop {
  readonly #options: FetchLoopOptions;
  readonly #members = new Map<string, FetchPartition>();
  readonly #joining = new Set<FetchPartition>();
  /** Members that may want something else than what the session has. */
  readonly #dirty = new Set<FetchPartition>();
  readonly #notifier = new Notifier();
  #session = new FetchSession();
  #isRunning = false;

  constructor(options: FetchLoopOptions) {
    this.#options = options;
  }

  get isEmpty(): boolean {
    return this.#members.size === 0 && this.#joining.size === 0;
  }

  get members(): Iterable<FetchPartition> {
    return this.#members.values();
  }

  /** It joins before the next request. */
  follow(partition: FetchPartition): void {
    this.#joining.add(partition);
    this.#notifier.notify();
    if (this.#isRunning) return;
    this.#isRunning = true;
    // Not in the middle of what the other loop does with the partition.
    queueMicrotask(() => void this.#run());
  }

  leave(partition: FetchPartition): void {
    this.#joining.delete(partition);
    if (partition.loop !== this) return;
    partition.loop = undefined;
    partition.requested = undefined;
    this.#members.delete(partition.key);
    this.#dirty.delete(partition);
    this.#session.forget(partition.key);
    if (this.isEmpty) this.#notifier.notify();
  }

  /** It wants another offset, or has more room. */
  wake(partition: FetchPartition): void {
    if (partition.loop !== this) return;
    if (partition.isPaused) partition.wantedAtMs = Date.now();
    this.#dirty.add(partition);
    this.#notifier.notify();
  }

  /** At once: all partitions are lost. */
  close(reason: Error): void {
    for (const partition of [...this.#members.values(), ...this.#joining]) this.#lose(partition, reason);
  }

  /** Until no partition is left. Never rejects. */
  async #run(): Promise<void> {
    const { node, brokers } = this.#options;
    for (;;) {
      const [first] = [...this.#members.values(), ...this.#joining];
      if (first === undefined) break;
      let broker: Broker | undefined;
      this.#session = new FetchSession();
      for (const partition of this.#members.values()) this.#dirty.add(partition);
      try {
        broker = await brokers.get(node, first.target.topic);
        while (await this.#untilWanted()) await this.#fetchFrom(broker);
      } catch (error) {
        const reason = error instanceof Error ? error : new Error(String(error));
        if (broker === undefined) this.#refuse(reason);
        else await brokers.hangUp(broker, reason);
        for (const partition of this.#members.values())
          if (broker === undefined || partition.requested !== undefined) this.#lose(partition, reason);
      }
    }
    this.#isRunning = false;
  }

  /** The broker cannot be reached: what another loop has stays there. */
  #refuse(reason: Error): void {
    for (const partition of this.#joining) {
      this.#joining.delete(partition);
      if (partition.loop === undefined) this.#lose(partition, reason);
    }
  }

  async #fetchFrom(broker: Broker): Promise<void> {
    const { memory, isForIdle } = this.#options;
    const body = encodeFetch({
      ...this.#session.next(),
      maxWaitMs: WAIT_MS,
      maxBytes: memory.responseBytes(isForIdle),
      partitionMaxBytes: PARTITION_BYTES,
    });
    const sentAtMs = Date.now();
    const request = { ...FETCH, body: [body], timeoutMs: 2 * RESPONSE_MS, isFetch: true };
    const { response, throttle } = await withTimeout(exchange(broker, request), RESPONSE_MS);
    const fetched = decodeFetch(response);
    throttle(fetched.throttleMs);
    this.#onResponse(fetched, sentAtMs);
  }

  /** @returns whether there is something to fetch; false when no partition is left */
  async #untilWanted(): Promise<boolean> {
    for (;;) {
      this.#prepare();
      if (this.isEmpty) return false;
      if (this.#session.size > 0) return true;
      await this.#notifier.wait(this.#dirty.size > 0 ? ROOM_POLL_MS : NOTHING_MS);
    }
  }

  /** Lets partitions join, and brings the session in line with what the members want. No request is out. */
  #prepare(): void {
    for (const partition of this.#joining) {
      partition.loop?.leave(partition);
      partition.loop = this;
      this.#members.set(partition.key, partition);
      this.#dirty.add(partition);
    }
    this.#joining.clear();
    const now = Date.now();
    for (const partition of this.#dirty) {
      const { key, target } = partition;
      if (!this.#options.memory.hasRoom(target.queuedBytes)) {
        partition.isPaused = true;
        partition.requested = undefined;
        this.#session.forget(key);
        continue;
      }
      if (partition.isPaused) partition.wantedAtMs = now;
      partition.isPaused = false;
      if (partition.requested === undefined && now - partition.seenAtMs > UNSEEN_MS) target.verify();
      partition.requested = target.offset;
      this.#session.want(key, { topic: target.topic, partition: target.partition, offset: target.offset });
      // While something is queued, other readers may take the room away.
      if (target.queuedBytes === 0) this.#dirty.delete(partition);
    }
  }

  #onResponse(response: FetchResponse, sentAtMs: number): void {
    const isKept = this.#session.answered(response.errorCode, response.sessionId);
    if (isKept && response.errorCode !== 0)
      throw new FetchRefused(this.#options.node, protocolErrorName(response.errorCode));
    for (const found of response.partitions) {
      const partition = this.#requestedAs(found);
      if (partition !== undefined && found.errorCode !== 0) this.#lose(partition, found.errorCode);
    }
    const now = Date.now();
    for (const partition of this.#members.values()) {
      if (partition.requested === undefined || partition.requested !== partition.target.offset) continue;
      // Where this changes the offset, the records of this response are dropped: they may belong to another topic. Where the
      // record before the position was requested already, the response has it, and is its own proof.
      if (!isKept || sentAtMs - partition.seenAtMs > UNSEEN_MS) this.#verify(partition);
      partition.seenAtMs = now;
    }
    const tookMs = now - sentAtMs;
    for (const found of response.partitions) {
      const partition = this.#requestedAs(found);
      if (partition === undefined) continue;
      const { target } = partition;
      const offsetAfterProofAlone = target.isVerifying ? target.offset + 1 : undefined;
      target.accept(detach(found, response), found.highWatermark);
      this.#dirty.add(partition);
      if (found.records.length > 0) this.#options.events.received(partition);
      // On a slow link the next request comes late, so the record before the position is verified again. But never twice in a row
      // without progress: where two batches do not fit into one response, they would be fetched again for ever.
      if (tookMs > UNSEEN_MS / 2 && target.offset !== offsetAfterProofAlone) this.#verify(partition);
    }
    if (tookMs <= UNSEEN_MS) return;
    for (const partition of this.#members.values())
      if (partition.requested !== undefined && partition.requested === partition.target.offset) this.#verify(partition);
  }

  /** Undefined where the response is to a request that nobody wants answered any more. */
  #requestedAs({ topic, partition: number }: FetchedPartition): FetchPartition | undefined {
    const partition = this.#members.get(`${topic}/${number}`);
    return partition?.requested !== undefined && partition.requested === partition.target.offset
      ? partition
      : undefined;
  }

  /** Where this changes the offset, the response that is being read does not count for the partition any more. */
  #verify(partition: FetchPartition): void {
    const before = partition.target.offset;
    partition.target.verify();
    this.#dirty.add(partition);
    if (partition.target.offset !== before) partition.requested = undefined;
  }

  #lose(partition: FetchPartition, reason: number | Error): void {
    this.leave(partition);
    this.#options.events.lost(partition, reason);
  }
}

/** A copy where the response holds much else: the records that wait would keep all of it in memory. */
function detach({ records }: FetchedPartition, response: FetchResponse): Buffer {
  return records.length > response.bytes / 2 ? records : Buffer.from(records);
}
