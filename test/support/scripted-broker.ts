import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

const [PRODUCE, FETCH, LIST_OFFSETS, METADATA, API_VERSIONS, INIT_PRODUCER_ID] = [0, 1, 2, 3, 18, 22] as const;
/** The one version of each request that it speaks. */
const VERSIONS = [
  [PRODUCE, 7],
  [FETCH, 11],
  [LIST_OFFSETS, 1],
  [METADATA, 1],
  [API_VERSIONS, 0],
  [INIT_PRODUCER_ID, 0],
] as const;
const UNKNOWN_TOPIC_OR_PARTITION = 3;
const NODE = 1;

/** A record batch as a producer sent it. */
export interface SentBatch {
  readonly topic: string;
  readonly partition: number;
  readonly producerId: bigint;
  readonly sequence: number;
  readonly records: number;
  readonly bytes: Buffer;
}

/** What the broker does with a batch: whether it appends it, and the error code that it answers (0 for none). */
export interface Verdict {
  readonly append: boolean;
  readonly errorCode: number;
  /** When the answer goes out. */
  readonly after?: Promise<unknown>;
}

/**
 * One broker of Kafka's wire protocol, with a log in memory, that answers what a test tells it to: real brokers answer some
 * error codes only in the middle of an outage. Like a real one it recognises a batch that is sent twice by producer id and
 * sequence number, and then answers success without appending it.
 */
export class ScriptedBroker {
  /** Partitions by topic. */
  readonly topics = new Map<string, number>();
  /** Every batch that arrived. */
  readonly arrived: SentBatch[] = [];
  /** Every batch that was appended. */
  readonly log: SentBatch[] = [];
  onProduce: (batch: SentBatch) => Verdict = () => ({ append: true, errorCode: 0 });
  /** The error code of a fetched partition. */
  onFetch: (topic: string, partition: number) => number = () => 0;
  /** Delays the answers to questions about a topic. */
  onMetadata: (topics: readonly string[]) => Promise<unknown> | undefined = () => undefined;
  fetches = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #lastProducerId = 1_000n;

  static async start(): Promise<ScriptedBroker> {
    const broker = new ScriptedBroker();
    await new Promise<void>((resolve) => broker.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => broker.#close());
    return broker;
  }

  private constructor() {
    this.#server = createServer((socket) => void this.#serve(socket));
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get #port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async #close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(socket: Socket): Promise<void> {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    let bytes: Buffer = Buffer.alloc(0);
    try {
      for await (const piece of socket as AsyncIterable<Buffer>) {
        bytes = Buffer.concat([bytes, piece]);
        while (bytes.length >= 4 && bytes.length >= 4 + bytes.readInt32BE(0)) {
          const end = 4 + bytes.readInt32BE(0);
          const request = new Input(Buffer.from(bytes.subarray(4, end)));
          bytes = bytes.subarray(end);
          const [apiKey, , correlationId] = [request.int16(), request.int16(), request.int32()];
          request.text();
          const answer = new Output().int32(correlationId);
          await this.#answer(apiKey, request, answer);
          if (!socket.destroyed) socket.write(answer.framed());
        }
      }
    } catch {
      // The client hung up.
    }
  }

  async #answer(apiKey: number, request: Input, answer: Output): Promise<void> {
    switch (apiKey) {
      case API_VERSIONS:
        answer.int16(0).list(VERSIONS, ([key, version]) => answer.int16(key).int16(version).int16(version));
        answer.int32(0);
        return;
      case METADATA: {
        const topics = request.list(() => request.text());
        await this.onMetadata(topics);
        answer.list([NODE], (node) => answer.int32(node).text('127.0.0.1').int32(this.#port).int16(-1));
        answer.int32(NODE).list(topics, (topic) => {
          const partitions = this.topics.get(topic);
          answer
            .int16(partitions === undefined ? UNKNOWN_TOPIC_OR_PARTITION : 0)
            .text(topic)
            .int8(0);
          answer.list([...Array(partitions ?? 0).keys()], (partition) => {
            answer.int16(0).int32(partition).int32(NODE);
            for (const _ of ['replicas', 'in sync']) answer.list([NODE], (node) => answer.int32(node));
          });
        });
        return;
      }
      case INIT_PRODUCER_ID:
        answer
          .int32(0)
          .int16(0)
          .int64((this.#lastProducerId += 1n))
          .int16(0);
        return;
      case LIST_OFFSETS:
        request.int32();
        answer.list(
          request.list(() => ({
            topic: request.text(),
            partitions: request.list(() => [request.int32(), request.int64()]),
          })),
          ({ topic, partitions }) =>
            answer.text(topic).list(partitions, ([partition = 0, timestamp]) => {
              const offset = timestamp === -2n ? 0 : this.#endOf(topic, Number(partition));
              answer.int32(Number(partition)).int16(0).int64(-1n).int64(BigInt(offset));
            }),
        );
        return;
      case PRODUCE:
        await this.#produce(request, answer);
        return;
      case FETCH:
        await this.#fetch(request, answer);
        return;
      default:
        throw new Error(`the scripted broker does not speak ${apiKey}`);
    }
  }

  async #produce(request: Input, answer: Output): Promise<void> {
    request.text();
    request.int16();
    request.int32();
    const sent = request.list(() => {
      const topic = request.text();
      return request.list(() => batchOf(topic, request.int32(), request.bytes()));
    });
    const [batch] = sent.flat();
    if (batch === undefined) throw new Error('a request without a batch');
    this.arrived.push(batch);
    const verdict = this.onProduce(batch);
    await verdict.after;
    const isRepeated = this.log.some(
      ({ topic, partition, producerId, sequence, records }) =>
        topic === batch.topic &&
        partition === batch.partition &&
        producerId === batch.producerId &&
        sequence === batch.sequence &&
        records === batch.records,
    );
    const offset = this.#endOf(batch.topic, batch.partition);
    if (verdict.append && !isRepeated) this.log.push(batch);
    answer.list([batch], ({ topic, partition }) =>
      answer.text(topic).list([partition], (number) => {
        answer.int32(number).int16(verdict.errorCode);
        answer
          .int64(verdict.errorCode === 0 ? BigInt(offset) : -1n)
          .int64(-1n)
          .int64(0n);
      }),
    );
    answer.int32(0);
  }

  async #fetch(request: Input, answer: Output): Promise<void> {
    this.fetches += 1;
    request.skip(12 + 4 + 1 + 8);
    const asked = request.list(() => {
      const topic = request.text();
      return request.list(() => {
        const partition = request.int32();
        request.int32();
        const offset = Number(request.int64());
        request.skip(8 + 4);
        return { topic, partition, offset };
      });
    });
    // Nothing is remembered between fetches, and an empty answer is held for a moment.
    await new Promise((resolve) => setTimeout(resolve, 5));
    answer.int32(0).int16(0).int32(0);
    answer.list(asked.flat(), ({ topic, partition, offset }) =>
      answer.text(topic).list([partition], () => {
        const errorCode = this.onFetch(topic, partition);
        answer
          .int32(partition)
          .int16(errorCode)
          .int64(BigInt(this.#endOf(topic, partition)))
          .int64(-1n)
          .int64(0n);
        answer
          .int32(0)
          .int32(-1)
          .bytes(errorCode === 0 ? this.#recordsFrom(topic, partition, offset) : Buffer.alloc(0));
      }),
    );
  }

  #ofPartition(topic: string, partition: number): SentBatch[] {
    return this.log.filter((batch) => batch.topic === topic && batch.partition === partition);
  }

  #endOf(topic: string, partition: number): number {
    return this.#ofPartition(topic, partition).reduce((sum, { records }) => sum + records, 0);
  }

  #recordsFrom(topic: string, partition: number, offset: number): Buffer {
    const batches: Buffer[] = [];
    let first = 0;
    for (const { bytes, records } of this.#ofPartition(topic, partition)) {
      const stored = Buffer.from(bytes);
      stored.writeBigInt64BE(BigInt(first), 0);
      first += records;
      if (first > offset) batches.push(stored);
    }
    return Buffer.concat(batches);
  }
}

function batchOf(topic: string, partition: number, bytes: Buffer): SentBatch {
  return {
    topic,
    partition,
    producerId: bytes.readBigInt64BE(43),
    sequence: bytes.readInt32BE(53),
    records: bytes.readInt32BE(57),
    bytes,
  };
}

class Input {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  skip(bytes: number): void {
    this.#at += bytes;
  }

  int16(): number {
    return this.#bytes.readInt16BE((this.#at += 2) - 2);
  }

  int32(): number {
    return this.#bytes.readInt32BE((this.#at += 4) - 4);
  }

  int64(): bigint {
    return this.#bytes.readBigInt64BE((this.#at += 8) - 8);
  }

  text(): string {
    const length = Math.max(0, this.int16());
    return this.#bytes.toString('utf8', this.#at, (this.#at += length));
  }

  bytes(): Buffer {
    const length = this.int32();
    return this.#bytes.subarray(this.#at, (this.#at += length));
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.int32()) }, read);
  }
}

class Output {
  readonly #parts: Buffer[] = [];

  int8(value: number): this {
    return this.#put(1, (part) => part.writeInt8(value));
  }

  int16(value: number): this {
    return this.#put(2, (part) => part.writeInt16BE(value));
  }

  int32(value: number): this {
    return this.#put(4, (part) => part.writeInt32BE(value));
  }

  int64(value: bigint): this {
    return this.#put(8, (part) => part.writeBigInt64BE(value));
  }

  text(value: string): this {
    this.int16(Buffer.byteLength(value));
    this.#parts.push(Buffer.from(value));
    return this;
  }

  bytes(value: Buffer): this {
    this.int32(value.length);
    this.#parts.push(value);
    return this;
  }

  list<T>(values: readonly T[], write: (value: T) => unknown): this {
    this.int32(values.length);
    for (const value of values) write(value);
    return this;
  }

  framed(): Buffer {
    const body = Buffer.concat(this.#parts);
    const length = Buffer.alloc(4);
    length.writeInt32BE(body.length);
    return Buffer.concat([length, body]);
  }

  #put(bytes: number, write: (part: Buffer) => number): this {
    const part = Buffer.alloc(bytes);
    write(part);
    this.#parts.push(part);
    return this;
  }
}
