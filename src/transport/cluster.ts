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
  findGroupCoordinator(group: { groupId: string }): Promise<KafkaBroker>;
}

export interface KafkaBroker {
  readonly nodeId: number;
  /** Connects where it must. Fetches have a socket of their own; the others queue behind each other on the second. */
  readonly connectionPool: { send<Answer>(request: BrokerRequest<Answer>): Promise<Answer> };
  disconnect(): Promise<void>;
  initProducerId(request: { transactionTimeout: number }): Promise<{ producerId: string; producerEpoch: number }>;
  offsetCommit(request: {
    groupId: string;
    groupGenerationId: number;
    memberId: string;
    topics: { topic: string; partitions: { partition: number; offset: string; metadata: string | null }[] }[];
  }): Promise<unknown>;
}

/** A request in the form that kafkajs's connections take: we write the body, they the frame. */
export interface BrokerRequest<Answer> {
  readonly request: {
    readonly apiKey: number;
    readonly apiVersion: number;
    readonly apiName: string;
    /** The body after the request header. */
    encode(): Promise<{ readonly buf: Buffer; readonly offset: number }>;
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
