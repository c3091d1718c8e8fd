import type { Kafka } from 'kafkajs';
import { Brokers, type TopicLocation } from './brokers.js';
import { ClientClosed, Superseded } from './errors.js';
import { FetchPartition, type FetchTarget } from './fetch-loop.js';
import { FetchMemory } from './fetch-memory.js';
import { FetchSessions } from './fetch-sessions.js';

export interface FetcherOptions {
  /** For all messages of all subscriptions that wait to be taken, in bytes; 48 MB by default. */
  readonly memoryBytes?: number | undefined;
}

/**
 * What a process fetches from Kafka with: one memory, and four sockets and two requests at a time for each broker. It is in no
 * consumer group: partitions are named and positions are the caller's, so nothing is joined, committed or balanced.
 *
 * Its invariants: a subscriber has one subscription to a topic, the newest. Different subscribers read the same partition side by
 * side, each in a fetch session of its own: a second one for the same partition costs another pair of sessions.
 */
export class Fetcher {
  readonly memory: FetchMemory;
  readonly #kafka: Kafka;
  readonly #brokers: Brokers;
  /** A partition is in the first group that has no other reader of it. */
  readonly #groups: FetchSessions[];
  readonly #subscriptions = new Map<string, Subscription>();
  #isClosed = false;

  constructor(kafka: Kafka, options: FetcherOptions = {}) {
    this.#kafka = kafka;
    this.memory = new FetchMemory(options.memoryBytes);
    this.#brokers = new Brokers(kafka);
    this.#groups = [new FetchSessions({ busy: this.#brokers, idle: new Brokers(kafka) }, this.memory)];
  }

  /** @returns undefined when there is no such topic. @throws KafkaTimeout after 10 s; what kafkajs throws */
  locate(topic: string): Promise<TopicLocation | undefined> {
    return this.#brokers.locate(topic);
  }

  /**
   * Takes the place of the subscriber's earlier subscription to the topic, at once.
   * @param onSuperseded a newer one took the place of this one
   */
  subscribe(subscriber: string, topic: string, onSuperseded: (reason: Superseded) => void): Subscription {
    const key = JSON.stringify([subscriber, topic]);
    const earlier = this.#subscriptions.get(key);
    const subscription = new Subscription(
      {
        locate: () => this.locate(topic),
        follow: (partition, node) => this.#follow(partition, node),
        leave: (partition) => this.#leave(partition),
        closed: () => {
          if (this.#subscriptions.get(key) === subscription) this.#subscriptions.delete(key);
        },
      },
      () => onSuperseded(new Superseded(subscriber, topic)),
    );
    this.#subscriptions.set(key, subscription);
    earlier?.supersede();
    return subscription;
  }

  /** At once; partitions that are still followed are lost. */
  close(): void {
    this.#isClosed = true;
    const reason = new ClientClosed();
    for (const group of this.#groups) group.close(reason);
  }

  #follow(partition: FetchPartition, node: number): void {
    let group = this.#groups.find((each) => !each.has(partition.key));
    if (group === undefined) {
      group = new FetchSessions({ busy: new Brokers(this.#kafka), idle: new Brokers(this.#kafka) }, this.memory);
      this.#groups.push(group);
    }
    group.follow(partition, node);
    if (this.#isClosed) group.close(new ClientClosed());
  }

  #leave(partition: FetchPartition): void {
    for (const group of this.#groups) group.leave(partition);
    // The first one stays: its connections answer questions about topics too.
    while (this.#groups.length > 1 && this.#groups.at(-1)?.isEmpty === true)
      this.#groups.pop()?.close(new ClientClosed());
  }
}

interface SubscriptionOptions {
  locate(): Promise<TopicLocation | undefined>;
  follow(partition: FetchPartition, node: number): void;
  leave(partition: FetchPartition): void;
  closed(): void;
}

/** A subscriber's reading of one topic. After `close` nothing is fetched for it. */
export class Subscription {
  readonly #options: SubscriptionOptions;
  readonly #onSuperseded: () => void;
  #partitions: readonly FetchPartition[] = [];
  #isClosed = false;

  constructor(options: SubscriptionOptions, onSuperseded: () => void) {
    this.#options = options;
    this.#onSuperseded = onSuperseded;
  }

  /** As `Fetcher.locate`. */
  locate(): Promise<TopicLocation | undefined> {
    return this.#options.locate();
  }

  /** What is to be fetched, from the next `follow` on. */
  open(targets: readonly FetchTarget[]): void {
    this.#partitions = targets.map((target) => new FetchPartition(target));
  }

  /** Fetches every partition from the broker that leads it; again after a partition was lost. */
  follow(leaders: TopicLocation['leaders']): void {
    this.leave();
    if (this.#isClosed) return;
    for (const partition of this.#partitions)
      this.#options.follow(partition, leaders[String(partition.target.partition)] ?? -1);
  }

  /** Fetches nothing until the next `follow`. */
  leave(): void {
    for (const partition of this.#partitions) this.#options.leave(partition);
  }

  /** The targets have more room. */
  wake(): void {
    for (const partition of this.#partitions) partition.loop?.wake(partition);
  }

  /** Since when the partition that was seen least recently has brought no response, `Date.now()`. */
  unansweredSinceMs(): number {
    return Math.min(...this.#partitions.map(({ seenAtMs, wantedAtMs }) => Math.max(seenAtMs, wantedAtMs)));
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.leave();
    this.#options.closed();
  }

  supersede(): void {
    this.close();
    this.#onSuperseded();
  }
}
