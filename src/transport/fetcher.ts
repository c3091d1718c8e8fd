import type { Kafka } from 'kafkajs';
import { Failure } from '../failure/failure.js';
import { Brokers, type TopicPlace } from './brokers.js';
import { FetchLoop, type Feed } from './fetch-loop.js';
import { FetchMemory } from './fetch-memory.js';
import { topicGone } from './topic-doubts.js';

export interface FetcherOptions {
  /** For all messages of all tables that wait to be taken, in bytes; 96 MB by default. */
  readonly memoryBytes?: number | undefined;
}

/**
 * What a worker fetches from Kafka with, for all its tables: two sockets and one request at a time for each broker, and one memory. It
 * is in no consumer group: partitions are named, and positions are the ledger's, so nothing is joined, committed or balanced.
 */
export class Fetcher {
  readonly memory: FetchMemory;
  readonly #brokers: Brokers;
  readonly #loops = new Map<number, FetchLoop>();

  constructor(kafka: Kafka, options: FetcherOptions = {}) {
    this.memory = new FetchMemory(options.memoryBytes);
    this.#brokers = new Brokers(kafka);
  }

  /** @throws Failure `TopicReplaced` when there is no such topic, `BrokerUnavailable` after 10 s, `Unauthorized` */
  async place(topic: string): Promise<TopicPlace> {
    const place = await this.#brokers.place(topic);
    if (place === undefined) throw topicGone(topic);
    return place;
  }

  /** Fetches for the feed from this broker until it leaves or is lost. A partition has one feed at a time. */
  follow(feed: Feed, leader: number): void {
    let loop = this.#loops.get(leader);
    if (loop === undefined) this.#loops.set(leader, (loop = new FetchLoop(leader, this.#brokers, this.memory)));
    loop.follow(feed);
  }

  leave(feed: Feed): void {
    for (const loop of this.#loops.values()) loop.leave(feed);
  }

  /** Its queue has room again. */
  wake(feed: Feed): void {
    for (const loop of this.#loops.values()) loop.wake(feed);
  }

  /** At once; feeds that are left are lost. */
  close(): void {
    this.#brokers.close(new Failure('Unexpected', { message: 'Fetching from Kafka was ended.' }));
  }
}
