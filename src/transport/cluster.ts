import type { Kafka } from 'kafkajs';

/**
 * The part of kafkajs's own cluster that we stand on: connections, TLS, SASL, metadata and its refreshing. kafkajs is pinned
 * because of this file, the only one that reaches inside it.
 */
export interface KafkaCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  /** Has the metadata of a topic loaded, now and at every refresh. @throws `UNKNOWN_TOPIC_OR_PARTITION` as `type` */
  addTargetTopic(topic: string): Promise<void>;
  refreshMetadata(): Promise<void>;
  /** Empty for a topic that is not there. */
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number; readonly leader: number }[];
  findBroker(node: { nodeId: number }): Promise<KafkaBroker>;
  findControllerBroker(): Promise<KafkaBroker>;
  /** Forgets it, with its connections as they are. */
  removeBroker(address: { host: string; port: number }): void;
  readonly brokerPool: {
    /**
     * Loads the brokers, and the metadata of these topics in place of all that was known; one call at a time.
     * @throws `UNKNOWN_TOPIC_OR_PARTITION` as `type`
     */
    refreshMetadata(topics: readonly string[]): Promise<void>;
    /** Connects to it. Unlike the cluster's, this asks for no metadata of all topics when it cannot. */
    findBroker(node: { nodeId: number }): Promise<KafkaBroker>;
    readonly brokers: Readonly<Record<string, KafkaBroker>>;
    readonly seedBroker?: KafkaBroker | undefined;
  };
  findGroupCoordinator(group: { groupId: string }): Promise<KafkaBroker>;
}

export interface KafkaBroker {
  readonly nodeId: number;
  readonly connectionPool: {
    readonly host: string;
    readonly port: number;
    readonly pool: readonly KafkaConnection[];
    /** Connects where it must. Fetches have a socket of their own; the others queue behind each other on the second. */
    send<Answer>(request: BrokerRequest<Answer>): Promise<Answer>;
  };
  disconnect(): Promise<void>;
  /** `-1` asks for the next offset to be written, `-2` for the first one there is. */
  listOffsets(request: {
    replicaId: -1;
    isolationLevel: 0;
    topics: { topic: string; partitions: { partition: number; timestamp: -1 | -2 }[] }[];
  }): Promise<{ responses: { partitions: { partition: number; offset: string }[] }[] }>;
  initProducerId(request: { transactionTimeout: number }): Promise<{ producerId: string; producerEpoch: number }>;
  offsetCommit(request: {
    groupId: string;
    groupGenerationId: number;
    memberId: string;
    topics: { topic: string; partitions: { partition: number; offset: string; metadata: string | null }[] }[];
  }): Promise<unknown>;
}

export interface KafkaConnection {
  readonly socket?: { destroy(): void } | undefined;
  rejectRequests(error: Error): void;
}

/** A request in the form that kafkajs's connections take: we write the body, they the frame. */
export interface BrokerRequest<Answer> {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    /** The body after the request header, under both names that kafkajs reads. */
    encode(): Promise<{ readonly buf: Buffer; readonly buffer: Buffer }>;
  };
  readonly response: {
    /** `clientSideThrottleTime` is obeyed by kafkajs. */
    decode(body: Buffer): Promise<Answer & { readonly clientSideThrottleTime: number }>;
    parse(answer: Answer): Promise<Answer>;
  };
  /** Milliseconds; that of the Kafka client by default. */
  readonly requestTimeout?: number;
}

type CreateCluster = (options: {
  allowAutoTopicCreation: boolean;
  metadataMaxAge: number;
  maxInFlightRequests?: number;
}) => KafkaCluster;

/** The description of the symbol under which kafkajs keeps it. */
const CREATE_CLUSTER = 'private:Kafka:createCluster';
const METADATA_MAX_AGE_MS = 300_000;

/** Connections of their own to the brokers of `kafka`; nothing is opened before `connect`. */
export function createCluster(kafka: Kafka): KafkaCluster {
  const key = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === CREATE_CLUSTER);
  const create = key && (kafka as unknown as Record<symbol, CreateCluster>)[key];
  if (create === undefined) throw new TypeError('this kafkajs has no cluster where it was expected');
  return create({ allowAutoTopicCreation: false, metadataMaxAge: METADATA_MAX_AGE_MS });
}

/**
 * Ends the connections to a broker at once: kafkajs's own `disconnect` first waits for all answers, and reads the rest of a
 * broken answer as the beginning of the next one when the broker is connected to again. The cluster makes a new one at the
 * next refresh of its metadata.
 */
export function hangUp(cluster: KafkaCluster, broker: KafkaBroker, reason: Error): void {
  const { host, port, pool } = broker.connectionPool;
  cluster.removeBroker({ host, port });
  for (const connection of pool) {
    connection.rejectRequests(reason);
    connection.socket?.destroy();
  }
  broker.disconnect().catch(() => undefined);
}

/** Ends all its connections at once, also those that wait for an answer. */
export function hangUpAll(cluster: KafkaCluster, reason: Error): void {
  const { brokers, seedBroker } = cluster.brokerPool;
  for (const broker of Object.values(brokers)) hangUp(cluster, broker, reason);
  if (seedBroker !== undefined) hangUp(cluster, seedBroker, reason);
  cluster.disconnect().catch(() => undefined);
}
