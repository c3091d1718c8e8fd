import { createRequire } from 'node:module';
import type { Kafka } from 'kafkajs';

/**
 * The only file that reaches into kafkajs. It takes its connections, TLS, SASL, metadata and error codes, which have no public
 * interface. So it works with one version of kafkajs, and checks that version and each part that it takes.
 */
const EXPECTED_VERSION = '2.2.4';
/** The description of the symbol under which a `Kafka` keeps the function that makes a cluster. */
const CREATE_CLUSTER = 'private:Kafka:createCluster';
const METADATA_MAX_AGE_MS = 300_000;
/** In a broker's pool of two connections: fetches have one of their own, because they wait for records. */
const [CONNECTION, FETCH_CONNECTION] = [0, 1];

const require = createRequire(import.meta.url);

interface Connection {
  readonly clientId: string;
  readonly socket?: { destroy(): void; cork(): void; uncork(): void; write(bytes: Buffer): boolean } | undefined;
  /** Where the broker wants it and it is not done. */
  authenticate(): Promise<void>;
  failIfNotConnected(): void;
  nextCorrelationId(): number;
  rejectRequests(error: Error): void;
  readonly requestQueue: RequestQueue;
}

interface RequestQueue {
  readonly pending: readonly unknown[];
  push(request: {
    readonly entry: {
      readonly apiKey: number;
      readonly apiName: string;
      readonly apiVersion: number;
      readonly correlationId: number;
      resolve(response: { readonly payload: Buffer }): void;
      reject(error: Error): void;
    };
    readonly expectResponse: true;
    readonly requestTimeout: number;
    sendRequest(): void;
  }): void;
  maybeThrottle(ms: number): void;
  scheduleCheckPendingRequests(): void;
}

/** A broker of a `Cluster`. */
export interface Broker {
  readonly nodeId: number;
  readonly connectionPool: {
    readonly host: string;
    readonly port: number;
    readonly pool: readonly Connection[];
    /** Connects where it must. */
    getConnection(index: number): Promise<Connection>;
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
  /** An offset of `-1` where the group has none. */
  offsetFetch(request: {
    groupId: string;
    topics: { topic: string; partitions: { partition: number }[] }[];
  }): Promise<{ responses: { topic: string; partitions: { partition: number; offset: string }[] }[] }>;
}

interface KafkajsCluster {
  connect(): Promise<void>;
  disconnect(): Promise<void>;
  findTopicPartitionMetadata(topic: string): readonly { readonly partitionId: number; readonly leader: number }[];
  removeBroker(address: { host: string; port: number }): void;
  findGroupCoordinator(group: { groupId: string }): Promise<Broker>;
  readonly brokerPool: {
    /** Loads the brokers, and the metadata of these topics in place of all that was known; one call at a time. */
    refreshMetadata(topics: readonly string[]): Promise<void>;
    /** Connects to it. Unlike the cluster's own, it does not ask for the metadata of all topics when it cannot. */
    findBroker(node: { nodeId: number }): Promise<Broker>;
    readonly brokers: Readonly<Record<string, Broker>>;
    readonly seedBroker?: Broker | undefined;
  };
}

type CreateCluster = (options: { allowAutoTopicCreation: boolean; metadataMaxAge: number }) => KafkajsCluster;

/** Connections to the brokers of one Kafka cluster: two sockets for each broker that is used. */
export class Cluster {
  readonly #cluster: KafkajsCluster;
  /** kafkajs keeps the metadata of one question at a time. */
  #metadata: Promise<unknown> = Promise.resolve();

  /** Opens nothing before `connect`. @throws Error where kafkajs is not the one that this file was written for */
  constructor(kafka: Kafka) {
    requireVersion((require('kafkajs/package.json') as { version: string }).version);
    this.#cluster = createCluster(kafka);
  }

  async connect(): Promise<void> {
    await this.#cluster.connect();
    this.#adoptAll();
  }

  /** Leader by partition, -1 for none. @throws kafkajs's `UNKNOWN_TOPIC_OR_PARTITION`, among others */
  leaders(topic: string): Promise<ReadonlyMap<number, number>> {
    const leaders = this.#metadata.then(async () => {
      await this.#cluster.brokerPool.refreshMetadata([topic]);
      this.#adoptAll();
      const partitions = this.#cluster.findTopicPartitionMetadata(topic);
      return new Map(partitions.map(({ partitionId, leader }) => [partitionId, leader]));
    });
    this.#metadata = leaders.catch(() => undefined);
    return leaders;
  }

  knows(nodeId: number): boolean {
    return this.#cluster.brokerPool.brokers[nodeId] !== undefined;
  }

  /** Connects to a broker that `leaders` named. */
  broker(nodeId: number): Promise<Broker> {
    return this.#cluster.brokerPool.findBroker({ nodeId });
  }

  coordinator(group: string): Promise<Broker> {
    return this.#cluster.findGroupCoordinator({ groupId: group });
  }

  /**
   * Ends the connections to a broker at once: kafkajs's own `disconnect` first waits for all responses, and would read the rest
   * of a broken response as the beginning of the next one after it connected again. The next `leaders` makes new ones.
   */
  hangUp(broker: Broker, reason: Error): void {
    const { host, port, pool } = broker.connectionPool;
    this.#cluster.removeBroker({ host, port });
    for (const connection of pool) {
      connection.rejectRequests(reason);
      connection.socket?.destroy();
    }
    broker.disconnect().catch(() => undefined);
  }

  /** Ends all connections at once, also those that wait for a response. */
  hangUpAll(reason: Error): void {
    const { brokers, seedBroker } = this.#cluster.brokerPool;
    for (const broker of Object.values(brokers)) this.hangUp(broker, reason);
    if (seedBroker !== undefined) this.hangUp(seedBroker, reason);
    this.#cluster.disconnect().catch(() => undefined);
  }

  #adoptAll(): void {
    const { brokers, seedBroker } = this.#cluster.brokerPool;
    for (const broker of [...Object.values(brokers), ...(seedBroker === undefined ? [] : [seedBroker])])
      for (const connection of broker.connectionPool.pool) adopt(connection);
  }
}

export interface BrokerRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly apiName: string;
  /** The body in pieces, not to be written to before the response is there. */
  readonly body: readonly Buffer[];
  readonly timeoutMs: number;
  readonly isFetch?: boolean;
}

/**
 * Sends a request as it is: kafkajs would copy the body twice. Requests of one connection are answered in the order of the
 * calls.
 * @returns the body of the response, and how to obey the throttling that it may ask for
 */
export async function exchange(
  broker: Broker,
  { apiKey, apiVersion, apiName, body, timeoutMs, isFetch = false }: BrokerRequest,
): Promise<{ response: Buffer; throttle: (ms: number) => void }> {
  const connection = await broker.connectionPool.getConnection(isFetch ? FETCH_CONNECTION : CONNECTION);
  adopt(connection);
  await connection.authenticate();
  connection.failIfNotConnected();
  const correlationId = connection.nextCorrelationId();
  const head = encodeHead(
    { apiKey, apiVersion, correlationId, clientId: connection.clientId },
    body.reduce((sum, piece) => sum + piece.length, 0),
  );
  const response = await new Promise<Buffer>((resolve, reject) => {
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
  return { response, throttle: (ms) => connection.requestQueue.maybeThrottle(ms) };
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

/** Kafka's error as kafkajs throws it: `type` is the name of the code. */
export function protocolError(code: number): Error & { readonly type: string } {
  const errors = require('kafkajs/src/protocol/error.js') as Record<string, unknown>;
  requireFunctions('its protocol errors', errors, ['createErrorFromCode']);
  return (errors['createErrorFromCode'] as (code: number) => Error & { readonly type: string })(code);
}

/** The name that Kafka gives to the code, e.g. `NOT_LEADER_FOR_PARTITION`. */
export function protocolErrorName(code: number): string {
  return protocolError(code).type;
}

/** @throws Error for another version */
export function requireVersion(version: string): void {
  if (version !== EXPECTED_VERSION)
    throw new Error(
      `This program uses private parts of kafkajs ${EXPECTED_VERSION}, and kafkajs ${version} is installed: install kafkajs ${EXPECTED_VERSION}.`,
    );
}

/** @throws Error where the `Kafka` has no cluster of the expected form */
export function createCluster(kafka: object): KafkajsCluster {
  const key = Object.getOwnPropertySymbols(kafka).find(({ description }) => description === CREATE_CLUSTER);
  const create = key && (kafka as Record<symbol, unknown>)[key];
  if (typeof create !== 'function') throw unexpectedPart('the function that makes a cluster');
  const cluster = (create as CreateCluster)({ allowAutoTopicCreation: false, metadataMaxAge: METADATA_MAX_AGE_MS });
  requireFunctions('its cluster', cluster, [
    'connect',
    'disconnect',
    'findTopicPartitionMetadata',
    'removeBroker',
    'findGroupCoordinator',
  ]);
  requireFunctions("its cluster's brokers", cluster.brokerPool, ['refreshMetadata', 'findBroker']);
  return cluster;
}

const adopted = new WeakSet<Connection>();

/**
 * Checks a connection once, and keeps it from a fault of kafkajs (its issue 1751): after its first response it checks every
 * millisecond, for ever, whether a request waits to be sent, because the delay that it computes is negative where nothing is
 * throttled. That is 3 % of a core in an idle process. It is enough to check while a request waits.
 * @throws Error where the connection is not of the expected form
 */
export function adopt(connection: Connection): void {
  if (adopted.has(connection)) return;
  requireFunctions('its connection', connection, [
    'authenticate',
    'failIfNotConnected',
    'nextCorrelationId',
    'rejectRequests',
  ]);
  const queue = connection.requestQueue;
  requireFunctions("its connection's queue", queue, ['push', 'maybeThrottle', 'scheduleCheckPendingRequests']);
  if (!Array.isArray(queue.pending)) throw unexpectedPart("the list of requests in its connection's queue");
  const schedule = queue.scheduleCheckPendingRequests.bind(queue);
  queue.scheduleCheckPendingRequests = () => {
    if (queue.pending.length > 0) schedule();
  };
  adopted.add(connection);
}

function requireFunctions(what: string, part: unknown, names: readonly string[]): void {
  for (const name of names)
    if (typeof (part as Record<string, unknown> | undefined)?.[name] !== 'function')
      throw unexpectedPart(`the function ${name} of ${what}`);
}

function unexpectedPart(what: string): Error {
  return new Error(
    `kafkajs lacks ${what}, which this program uses: install kafkajs ${EXPECTED_VERSION} as it is published.`,
  );
}
