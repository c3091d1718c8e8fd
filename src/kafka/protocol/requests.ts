import { readInt64 } from './bytes.js';

// ---- Produce

/** Version 7 of Produce: Kafka 2.1 and later. */
export const PRODUCE = { apiKey: 0, apiVersion: 7, apiName: 'Produce' };

const ALL_IN_SYNC = -1;

export interface ProduceResult {
  readonly topic: string;
  readonly partition: number;
  /** Kafka's, 0 for none. */
  readonly errorCode: number;
  /** -1 where nothing was written. */
  readonly baseOffset: bigint;
}

/** The body of a request for one partition, up to its record batch. */
export function encodeProduce(
  topic: string,
  partition: number,
  { batchBytes, acksMs }: { readonly batchBytes: number; readonly acksMs: number },
): Buffer {
  const name = Buffer.from(topic);
  const body = Buffer.alloc(26 + name.length);
  // No transactional id.
  let at = body.writeInt16BE(-1, 0);
  at = body.writeInt16BE(ALL_IN_SYNC, at);
  at = body.writeInt32BE(acksMs, at);
  at = body.writeInt32BE(1, at);
  at = body.writeInt16BE(name.length, at);
  at += name.copy(body, at);
  at = body.writeInt32BE(1, at);
  at = body.writeInt32BE(partition, at);
  body.writeInt32BE(batchBytes, at);
  return body;
}

/** @throws RangeError for a response that ends early */
export function decodeProduce(response: Buffer): { results: ProduceResult[]; throttleMs: number } {
  const results: ProduceResult[] = [];
  let at = 4;
  for (let topics = response.readInt32BE(0); topics > 0; topics--) {
    const end = at + 2 + response.readInt16BE(at);
    const topic = response.toString('utf8', at + 2, end);
    at = end + 4;
    for (let partitions = response.readInt32BE(end); partitions > 0; partitions--) {
      const partition = response.readInt32BE(at);
      results.push({
        topic,
        partition,
        errorCode: response.readInt16BE(at + 4),
        baseOffset: response.readBigInt64BE(at + 6),
      });
      // The append time and the log's start are of no use here.
      at += 30;
    }
  }
  return { results, throttleMs: response.readInt32BE(at) };
}

// ---- Fetch

/** Version 11 of Fetch: Kafka 2.3 and later, 4.x too. Later versions name topics by ids and shorten the encoding. */
export const FETCH = { apiKey: 1, apiVersion: 11, apiName: 'Fetch' };

const CONSUMER = -1;
/** The leader's epoch is not checked: a leader that was deposed hands out confirmed messages, as it did before. */
const NO_EPOCH = -1;
/**
 * Reading only what is committed would wait in silence for an open transaction to end; this way its messages are seen, and
 * the reader decides.
 */
const READ_UNCOMMITTED = 0;
const PARTITION_REQUEST_BYTES = 28;

/** The offset to fetch a partition from. */
export interface FetchPosition {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface FetchRequest {
  readonly sessionId: number;
  readonly sessionEpoch: number;
  readonly partitions: readonly FetchPosition[];
  readonly forgotten: readonly { readonly topic: string; readonly partition: number }[];
  /** How long the broker may hold the response while it has nothing, milliseconds. */
  readonly maxWaitMs: number;
  /** Of all partitions; the first batch of the first one comes whole however large it is. */
  readonly maxBytes: number;
  readonly partitionMaxBytes: number;
}

export interface FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  /** Kafka's number of it; 0 for none. */
  readonly errorCode: number;
  readonly highWatermark: number;
  /** A view of the response. */
  readonly records: Buffer;
}

export interface FetchResponse {
  /** The broker asks for no request during this time. */
  readonly throttleMs: number;
  readonly errorCode: number;
  /** 0 where the broker has no place for a session. */
  readonly sessionId: number;
  readonly partitions: readonly FetchedPartition[];
  readonly bytes: number;
}

export function encodeFetch(request: FetchRequest): Buffer {
  const { partitions, forgotten } = request;
  const named = [...partitions, ...forgotten];
  const size = named.reduce((sum, { topic }) => sum + 10 + Buffer.byteLength(topic) + PARTITION_REQUEST_BYTES, 35);
  const buffer = Buffer.alloc(size);
  let at = buffer.writeInt32BE(CONSUMER);
  at = buffer.writeInt32BE(request.maxWaitMs, at);
  at = buffer.writeInt32BE(1, at);
  at = buffer.writeInt32BE(request.maxBytes, at);
  at = buffer.writeInt8(READ_UNCOMMITTED, at);
  at = buffer.writeInt32BE(request.sessionId, at);
  at = buffer.writeInt32BE(request.sessionEpoch, at);
  at = buffer.writeInt32BE(partitions.length, at);
  // A topic of several partitions is named several times, which Kafka reads as one.
  for (const { topic, partition, offset } of partitions) {
    at = writeTopic(buffer, at, topic, partition);
    at = buffer.writeInt32BE(NO_EPOCH, at);
    at = buffer.writeBigInt64BE(BigInt(offset), at);
    at = buffer.writeBigInt64BE(-1n, at);
    at = buffer.writeInt32BE(request.partitionMaxBytes, at);
  }
  at = buffer.writeInt32BE(forgotten.length, at);
  for (const { topic, partition } of forgotten) at = writeTopic(buffer, at, topic, partition);
  at = buffer.writeInt16BE(0, at);
  return buffer.subarray(0, at);
}

/** A topic's name and the beginning of an array of one partition. */
function writeTopic(buffer: Buffer, start: number, topic: string, partition: number): number {
  let at = buffer.writeInt16BE(Buffer.byteLength(topic), start);
  at += buffer.write(topic, at);
  at = buffer.writeInt32BE(1, at);
  return buffer.writeInt32BE(partition, at);
}

/** @throws RangeError for a response that ends early */
export function decodeFetch(body: Buffer): FetchResponse {
  const partitions: FetchedPartition[] = [];
  let at = 14;
  for (let topics = body.readInt32BE(10); topics > 0; topics--) {
    const nameEnd = at + 2 + body.readInt16BE(at);
    const topic = body.toString('utf8', at + 2, nameEnd);
    at = nameEnd + 4;
    for (let count = body.readInt32BE(nameEnd); count > 0; count--) {
      const aborted = Math.max(0, body.readInt32BE(at + 30));
      const lengthAt = at + 34 + aborted * 16 + 4;
      const records = body.subarray(lengthAt + 4, lengthAt + 4 + Math.max(0, body.readInt32BE(lengthAt)));
      partitions.push({
        topic,
        partition: body.readInt32BE(at),
        errorCode: body.readInt16BE(at + 4),
        highWatermark: readInt64(body, at + 6),
        records,
      });
      at = lengthAt + 4 + records.length;
    }
  }
  return {
    throttleMs: body.readInt32BE(0),
    errorCode: body.readInt16BE(4),
    sessionId: body.readInt32BE(6),
    partitions,
    bytes: body.length,
  };
}
