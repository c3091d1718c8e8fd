import type { Kafka } from 'kafkajs';
import { Brokers, type TopicLocation } from '../kafka/client/brokers.js';
import { ClientClosed } from '../kafka/client/errors.js';
import { withTimeout } from '../kafka/client/waiting.js';
import { topicFailure } from './errors.js';
import { commitGroupOffsets, readGroupOffsets, type GroupOffsets } from './group-offsets.js';

/** Brokers that are up answer within milliseconds. */
const ANSWER_MS = 10_000;
/** Requests of others that are in flight over connections that failed are given this long. */
const CLOSE_AFTER_MS = 15_000;

/** The consumer groups of other readers, as ClickHouse's Kafka engine: nothing here joins a group. One for all tables of a worker. */
export class ConsumerGroups {
  readonly #kafka: Kafka;
  #brokers: Brokers | undefined;

  /** Opens nothing yet. */
  constructor(kafka: Kafka) {
    this.#kafka = kafka;
  }

  /** @returns undefined when there is no such topic. @throws Failure `BrokerUnavailable`, `Unauthorized` */
  locate(topic: string): Promise<TopicLocation | undefined> {
    return this.#use(topic, `Looking at topic ${topic}`, (brokers) => brokers.locate(topic));
  }

  /** @returns only the partitions for which the group has an offset. @throws Failure `BrokerUnavailable`, `Unauthorized` */
  committed(group: string, topic: string, partitions: number): Promise<GroupOffsets> {
    return this.#use(topic, `Reading the offsets of group ${group}`, (brokers) =>
      readGroupOffsets(brokers, { group, topic, partitions }),
    );
  }

  /** For a group without members. @throws Failure `BrokerUnavailable`, `Unauthorized` */
  commit(group: string, topic: string, offsets: GroupOffsets): Promise<void> {
    return this.#use(topic, `Setting the offsets of group ${group}`, (brokers) =>
      commitGroupOffsets(brokers, group, [[topic, offsets]]),
    );
  }

  close(): void {
    this.#brokers?.close(new ClientClosed());
  }

  async #use<T>(topic: string, what: string, work: (brokers: Brokers) => Promise<T>): Promise<T> {
    const brokers = (this.#brokers ??= new Brokers(this.#kafka));
    try {
      return await withTimeout(work(brokers), ANSWER_MS);
    } catch (error) {
      if (this.#brokers === brokers) {
        this.#brokers = undefined;
        setTimeout(() => brokers.close(new ClientClosed()), CLOSE_AFTER_MS).unref();
      }
      throw topicFailure(error, what, topic);
    }
  }
}
