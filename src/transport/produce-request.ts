/** Kafka's Produce, version 7: the newest that kafkajs knows the brokers by. */
export const PRODUCE = { apiKey: 0, apiVersion: 7, apiName: 'Produce' };

const ALL_IN_SYNC = -1;

export interface Produced {
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

/** @throws RangeError for an answer that ends early */
export function decodeProduced(answer: Buffer): { produced: Produced[]; throttleMs: number } {
  const produced: Produced[] = [];
  let at = 4;
  for (let topics = answer.readInt32BE(0); topics > 0; topics--) {
    const end = at + 2 + answer.readInt16BE(at);
    const topic = answer.toString('utf8', at + 2, end);
    at = end + 4;
    for (let partitions = answer.readInt32BE(end); partitions > 0; partitions--) {
      const partition = answer.readInt32BE(at);
      produced.push({
        topic,
        partition,
        errorCode: answer.readInt16BE(at + 4),
        baseOffset: answer.readBigInt64BE(at + 6),
      });
      // The append time and the log's start are not asked for.
      at += 30;
    }
  }
  return { produced, throttleMs: answer.readInt32BE(at) };
}
