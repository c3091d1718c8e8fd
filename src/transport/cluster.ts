import { createRequire } from 'node:module';
import type { Kafka } from 'kafkajs';

/**
 * The part of kafkajs's own cluster that we stand on: connections, TLS, SASL, metadata and its refreshing. kafkajs is pinned
 * because of this file, the only one that reaches inside it.
 */
export interface KafkaCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  /** Empty for a topic that is not there. */
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number; readonly leader: number }[];
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
    /** The connection of all requests but fetches, made where it is not there. */
    getConnection(): Promise<KafkaConnection>;
  };
  disconnect(): Promise<void>;
  /** `-1` asks for the next offset to be written, `-2` for the first one there is. */
  listOffsets(request: {
    tableId: -1;
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
  readonly clientId: string;
  readonly socket?: { destroy(): void; cork(): void; uncork(): void; write(bytes: Buffer): boolean } | undefined;
  /** Where it is asked for, and not done. */
  authenticate(): Promise<void>;
  failIfNotConnected(): void;
  nextCorrelationId(): number;
  rejectRequests(error: Error): void;
  readonly requestQueue: {
    push(request: {
      readonly entry: {
        readonly apiKey: number;
        readonly apiName: string;
        readonly apiVersion: number;
        readonly correlationId: number;
        resolve(answer: { readonly payload: Buffer }): void;
        reject(error: Error): void;
      };
      readonly expectResponse: true;
      readonly requestTimeout: number;
      sendRequest(): void;
    }): void;
    maybeThrottle(ms: number): void;
  };
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

interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests: (this: RequestQueue) => void;
}

/**
 * Once a connection has had an answer, kafkajs looks every millisecond, for ever, whether a request waits to be sent: the delay
 * that it computes is negative where nothing is throttled (kafkajs issue 1751). That is 3 % of a core in a process that is idle. It
 * is enough to look while one waits. Of all connections in this process.
 */
const { prototype: queue } = createRequire(import.meta.url)('kafkajs/src/network/requestQueue') as {
  prototype: RequestQueue;
};
const schedule = queue.scheduleCheckPendingRequests;
queue.scheduleCheckPendingRequests = function (this: RequestQueue): void {
  if (this.pending.length > 0) schedule.call(this);
};

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

/** A large request: its body in pieces, which kafkajs would copy twice. */
export interface LargeRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  /** Not to be written to before the answer is there. */
  readonly body: readonly Buffer[];
  readonly timeoutMs: number;
}

/**
 * Sends it as it is. Requests go out, and are answered, in the order of the calls.
 * @returns the body of the answer, and how to obey the throttling that it may ask for
 */
export async function exchange(
  broker: KafkaBroker,
  { apiKey, apiVersion, apiName, body, timeoutMs }: LargeRequest,
): Promise<{ answer: Buffer; throttle: (ms: number) => void }> {
  const connection = await broker.connectionPool.getConnection();
  await connection.authenticate();
  connection.failIfNotConnected();
  const correlationId = connection.nextCorrelationId();
  const head = encodeHead(
    { apiKey, apiVersion, correlationId, clientId: connection.clientId },
    body.reduce((sum, piece) => sum + piece.length, 0),
  );
  const answer = await new Promise<Buffer>((resolve, reject) => {
    connection.requestQueue.push({
      entry: { apiKey, apiName, apiVersion, correlationId, resolve: ({ payload }) => resolve(payload), reject },
      expectResponse: true,
      requestTimeout: timeoutMs,
      sendRequest: () => {
        const { socket } = connection;
        socket?.cork();
        for (const piece of [head, ...body]) socket?.write(piece);
        socket?.uncork();
      },
    });
  });
  return { answer, throttle: (ms) => connection.requestQueue.maybeThrottle(ms) };
}

function encodeHead(
  request: { apiKey: number; apiVersion: number; correlationId: number; clientId: string },
  bodyBytes: number,
): Buffer {
  const client = Buffer.from(request.clientId);
  const head = Buffer.alloc(14 + client.length);
  let at = head.writeInt32BE(head.length - 4 + bodyBytes, 0);
  at = head.writeInt16BE(request.apiKey, at);
  at = head.writeInt16BE(request.apiVersion, at);
  at = head.writeInt32BE(request.correlationId, at);
  at = head.writeInt16BE(client.length, at);
  client.copy(head, at);
  return head;
}

const protocolErrors = createRequire(import.meta.url)('kafkajs/src/protocol/error.js') as {
  createErrorFromCode(code: number): Error & { readonly type: string };
};

/** Kafka's error as kafkajs throws it, for `classifyKafka`. */
export function protocolError(code: number): Error & { readonly type: string } {
  return protocolErrors.createErrorFromCode(code);
}
