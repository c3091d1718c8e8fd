import type { Kafka } from 'kafkajs';
import { protocolTypeOf } from '../failure/classify-kafka.js';
import { createCluster, hangUpAll, type KafkaCluster } from './cluster.js';

/** By topic and partition: the next offset to be read, decimal. */
export type TopicOffsets = ReadonlyMap<string, Readonly<Record<string, string>>>;

/**
 * Commits a group's offsets without being a member of it, as Kafka's own `kafka-consumer-groups --reset-offsets` does: for a
 * group without members, any number of topics and processes. kafkajs has no public call for that: `admin.setOffsets` joins
 * the group, takes 5 to 8 s, and fails while any other table of the group does the same. So this is
 * said to the coordinator itself.
 */
export class GroupOffsets {
  readonly #cluster: KafkaCluster;
  readonly #group: string;
  #knowsBrokers = false;
  #isClosed = false;

  constructor(kafka: Kafka, group: string) {
    this.#cluster = createCluster(kafka);
    this.#group = group;
  }

  /** In one request; a topic that is gone is passed over. */
  async commit(offsets: TopicOffsets): Promise<void> {
    if (!(await this.#findBrokers(offsets))) return;
    const coordinator = await this.#cluster.findGroupCoordinator({ groupId: this.#group });
    const topics = [...offsets].map(([topic, ofTopic]) => ({
      topic,
      partitions: Object.entries(ofTopic).map(([partition, offset]) => ({
        partition: Number(partition),
        offset,
        metadata: null,
      })),
    }));
    await coordinator
      .offsetCommit({ groupId: this.#group, groupGenerationId: -1, memberId: '', topics })
      // Said of one of them; the others were taken.
      .catch(ignoreMissing);
  }

  /** At once. */
  close(): void {
    this.#isClosed = true;
    hangUpAll(this.#cluster, new Error('closed'));
  }

  /** kafkajs learns of brokers with the metadata of a topic, and fails for one that is gone. */
  async #findBrokers(offsets: TopicOffsets): Promise<boolean> {
    if (this.#knowsBrokers) return true;
    await this.#cluster.connect();
    // It was given up while kafkajs was still trying.
    if (this.#isClosed) this.close();
    for (const topic of offsets.keys()) {
      await this.#cluster.brokerPool.refreshMetadata([topic]).then(() => (this.#knowsBrokers = true), ignoreMissing);
      if (this.#knowsBrokers) return true;
    }
    return false;
  }
}

function ignoreMissing(error: unknown): void {
  if (protocolTypeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
}
