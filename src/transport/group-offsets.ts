import type { Kafka } from 'kafkajs';
import { createCluster, type KafkaCluster } from './cluster.js';

/**
 * Commits a group's offsets without being a member of it, as Kafka's own `kafka-consumer-groups --reset-offsets` does: for a
 * group without members, any number of topics and processes. kafkajs has no public call for that: `admin.setOffsets` joins
 * the group, takes 5 to 8 s, and fails while any other table of the group does the same. So this is
 * said to the coordinator itself.
 */
export class GroupOffsets {
  readonly #cluster: KafkaCluster;
  readonly #group: string;
  readonly #topic: string;

  private constructor(cluster: KafkaCluster, group: string, topic: string) {
    this.#cluster = cluster;
    this.#group = group;
    this.#topic = topic;
  }

  static async connect(kafka: Kafka, group: string, topic: string): Promise<GroupOffsets> {
    const cluster = createCluster(kafka);
    const offsets = new GroupOffsets(cluster, group, topic);
    try {
      await cluster.connect();
      await cluster.addTargetTopic(topic);
      return offsets;
    } catch (error) {
      void offsets.close();
      throw error;
    }
  }

  /** @param offsets by partition, the next offset to be read, decimal */
  async commit(offsets: Readonly<Record<string, string>>): Promise<void> {
    const coordinator = await this.#cluster.findGroupCoordinator({ groupId: this.#group });
    const partitions = Object.entries(offsets).map(([partition, offset]) => ({
      partition: Number(partition),
      offset,
      metadata: null,
    }));
    await coordinator.offsetCommit({
      groupId: this.#group,
      groupGenerationId: -1,
      memberId: '',
      topics: [{ topic: this.#topic, partitions }],
    });
  }

  async close(): Promise<void> {
    await this.#cluster.disconnect().catch(() => undefined);
  }
}
