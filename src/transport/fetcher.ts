import type { Kafka } from 'kafkajs';
import { Failure } from '../failure/failure.js';
import { Brokers, type TopicPlace } from './brokers.js';
import { FetchLoop, type Feed } from './fetch-loop.js';
import { FetchMemory } from './fetch-memory.js';
import { topicGone } from './topic-doubts.js';

export interface FetcherOptions {
  /** For all messages of all tables that wait to be taken, in bytes; 48 MB by default. */
  readonly memoryBytes?: number | undefined;
}

/**
 * What a worker fetches from Kafka with, for all its tables: four sockets and two requests at a time for each broker, and one memory. It
 * is in no consumer group: partitions are named, and positions are the ledger's, so nothing is joined, committed or balanced.
 */
export class Fetcher {
  readonly memory: FetchMemory;
  readonly #brokers: Brokers;
  readonly #ofQuiet: Brokers;
  readonly #loops = new Map<number, readonly [FetchLoop, FetchLoop]>();

  constructor(kafka: Kafka, options: FetcherOptions = {}) {
    this.memory = new FetchMemory(options.memoryBytes);
    this.#brokers = new Brokers(kafka);
    this.#ofQuiet = new Brokers(kafka);
  }

  /** @throws Failure `TopicReplaced` when there is no such topic, `BrokerUnavailable` after 10 s, `Unauthorized` */
  async place(topic: string): Promise<TopicPlace> {
    const place = await this.#brokers.place(topic);
    if (place === undefined) throw topicGone(topic);
    return place;
  }

  /** Fetches for the feed from this broker until it leaves or is lost. A partition has one feed at a time. */
  follow(feed: Feed, leader: number): void {
    let loops = this.#loops.get(leader);
    if (loops === undefined)
      this.#loops.set(leader, (loops = FetchLoop.pair(leader, this.#brokers, this.#ofQuiet, this.memory)));
    for (const loop of loops) loop.follow(feed);
  }

  leave(feed: Feed): void {
    for (const loop of [...this.#loops.values()].flat()) loop.leave(feed);
  }

  /** Its queue has room again. */
  wake(feed: Feed): void {
    for (const loop of [...this.#loops.values()].flat()) loop.wake(feed);
  }

  /** At once; feeds that are left are lost. */
  close(): void {
    const ended = new Failure('Unexpected', { message: 'Fetching from Kafka was ended.' });
    for (const loop of [...this.#loops.values()].flat()) loop.close(ended);
    this.#brokers.close(ended);
    this.#ofQuiet.close(ended);
  }
}
