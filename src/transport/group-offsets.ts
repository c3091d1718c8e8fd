import type { Kafka } from 'kafkajs';

/** The little of kafkajs's own cluster and broker that a commit needs. */
interface Cluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  addTargetTopic(topic: string): Promise<void>;
  findGroupCoordinator(group: { groupId: string }): Promise<Coordinator>;
}

interface Coordinator {
  offsetCommit(request: {
    groupId: string;
    groupGenerationId: number;
    memberId: string;
    topics: { topic: string; partitions: { partition: number; offset: string; metadata: string | null }[] }[];
  }): Promise<unknown>;
}

type CreateCluster = (options: { allowAutoTopicCreation: boolean; metadataMaxAge: number }) => Cluster;

/** The description of the symbol under which kafkajs keeps it. */
const CREATE_CLUSTER = 'private:Kafka:createCluster';
const METADATA_MAX_AGE_MS = 300_000;

/**
 * Commits a group's offsets without being a member of it, as Kafka's own `kafka-consumer-groups --reset-offsets` does: for a
 * group without members, any number of topics and processes. kafkajs has no public call for that: `admin.setOffsets` joins
 * the group, takes 5 to 8 s, and fails while any other table of the group does the same. So this reaches for the cluster
 * inside, which is why kafkajs is pinned, and why nothing but a display may depend on it.
 */
export class GroupOffsets {
  readonly #cluster: Cluster;
  readonly #group: string;
  readonly #topic: string;

  private constructor(cluster: Cluster, group: string, topic: string) {
    this.#cluster = cluster;
    this.#group = group;
    this.#topic = topic;
  }

  static async connect(kafka: Kafka, group: string, topic: string): Promise<GroupOffsets> {
    const key = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === CREATE_CLUSTER);
    const create = key && (kafka as unknown as Record<symbol, CreateCluster>)[key];
    if (create === undefined) throw new TypeError('this kafkajs has no cluster where it was expected');
    const cluster = create({ allowAutoTopicCreation: false, metadataMaxAge: METADATA_MAX_AGE_MS });
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
