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
      // The append time and the log's start are not asked for.
      at += 30;
    }
  }
  return { results, throttleMs: response.readInt32BE(at) };
}
