import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchName } from '../domain/batch.js';
import type { KafkaTransport } from '../domain/route.js';
import type { BatchWriter, Confirmed, WriteOptions, Written } from '../pipeline/batch.js';
import type { AvroForm, MessageOrigin } from '../messages/encoder.js';
import { BROKER_RETRY } from '../pipeline/retry.js';
import { SMALL_ROWS, type SmallBatchThrottle } from '../pipeline/small-batch-throttle.js';
import type { RowBatch } from '../pipeline/row-batch.js';
import { acknowledgedGone } from './errors.js';
import { verifyTopicEnd, type AcknowledgedOffsets, type WrittenTopic } from './verify-end.js';
import type { Publisher, WrittenRange } from './writer.js';

/** The `proof` of a publish stage. Absent in ledgers of older releases. */
interface TopicProof {
  /** A route may have been given another topic since. */
  readonly topic: string;
  readonly acknowledged: AcknowledgedOffsets;
}

export interface TopicWriterOptions {
  /** How its end is looked at. The id of the deployment is in every message. */
  readonly written: WrittenTopic;
  /** An earlier attempt may have sent a part of the batch after the last confirmed one. */
  readonly mayBeAhead: boolean;
  /** That is read: that of a batch's name may be an earlier one. */
  readonly shape: number;
  /** The columns of the rows, where these are COPY text. */
  readonly columns: readonly string[] | undefined;
  /** Of messages in Avro. */
  readonly avro?: AvroForm | undefined;
  readonly from: MessageOrigin;
  readonly throttle: SmallBatchThrottle;
}

/**
 * Writes the rows of a batch into a table's topic. A crash may leave a part of it there: it is written again whole.
 *
 * Its invariant: in each partition Kafka gives an offset above all that it has acknowledged before, or the table parks before the batch
 * is confirmed.
 */
export class TopicBatchWriter implements BatchWriter<RowBatch> {
  readonly retry = BROKER_RETRY;
  readonly #publisher: Publisher;
  readonly #transport: KafkaTransport;
  readonly #throttle: SmallBatchThrottle;
  readonly #written: WrittenTopic;
  readonly #shape: number;
  readonly #columns: readonly string[] | undefined;
  readonly #avro: AvroForm | undefined;
  readonly #from: MessageOrigin;
  /** By partition: the last offset that was acknowledged, confirmed or not. */
  readonly #acknowledged = new Map<string, bigint>();
  /** The stage was just claimed, or a send has failed: others may have written since, and Kafka may have lost its end. */
  #mustLook = true;
  #mayBeAhead: boolean;

  constructor(publisher: Publisher, transport: KafkaTransport, options: TopicWriterOptions) {
    this.#written = options.written;
    this.#mayBeAhead = options.mayBeAhead;
    this.#shape = options.shape;
    this.#columns = options.columns;
    this.#avro = options.avro;
    this.#from = options.from;
    this.#publisher = publisher;
    this.#transport = transport;
    this.#throttle = options.throttle;
  }

  /** @throws Failure as `verifyTopicEnd` */
  async verify(confirmed: Confirmed, proof: unknown): Promise<TopicProof> {
    const known = proof as TopicProof | null | undefined;
    // An older release may have forgotten a name.
    this.#mayBeAhead ||= known === null || known === undefined;
    if (known?.topic === this.#transport.topic)
      for (const [partition, last] of Object.entries(known.acknowledged)) this.#note(partition, BigInt(last));
    const now = this.#proof();
    if (this.#mustLook)
      await verifyTopicEnd(this.#written, confirmed, {
        acknowledged: now.acknowledged,
        lastNamed: confirmed.batch + (this.#mayBeAhead ? 1 : 0),
      });
    this.#mustLook = false;
    return now;
  }

  async write({ batch, generation }: BatchName, content: RowBatch, { onProgress }: WriteOptions): Promise<Written> {
    const { topic, partitions, format, payload } = this.#transport;
    this.#mustLook = true;
    this.#mayBeAhead = true;
    const sent = await this.#publisher.send(
      {
        topic,
        partitions,
        format,
        payload,
        origin: this.#written.origin,
        generation,
        shape: this.#shape,
        batch,
        columns: this.#columns,
        avro: this.#avro,
        from: this.#from,
        beforeSend: () => {
          onProgress();
          return content.durable();
        },
        onWritten: (range) => this.#accept(range),
      },
      content.changes,
    );
    this.#mustLook = false;
    return { ...sent, proof: this.#proof() };
  }

  /** The next batch, which is named with the confirmation of this one, grows meanwhile. */
  async rest({ rows }: Written, tookMs: number, signal: AbortSignal): Promise<void> {
    if (rows >= SMALL_ROWS) return;
    this.#throttle.record(this, tookMs);
    const leftMs = this.#throttle.intervalMs() - tookMs;
    if (leftMs > 1) await sleep(leftMs, undefined, { signal }).catch(() => undefined);
  }

  /** @throws Failure `TopicReplaced` where the topic had more records before than it has now */
  #accept({ partition, first, last }: WrittenRange): void {
    const known = this.#acknowledged.get(String(partition));
    if (known !== undefined && first <= known) throw acknowledgedGone(this.#transport.topic, partition, known);
    this.#note(String(partition), last);
  }

  #note(partition: string, last: bigint): void {
    if (last > (this.#acknowledged.get(partition) ?? -1n)) this.#acknowledged.set(partition, last);
  }

  #proof(): TopicProof {
    const acknowledged = [...this.#acknowledged].map(([partition, last]) => [partition, String(last)] as const);
    return { topic: this.#transport.topic, acknowledged: Object.fromEntries(acknowledged) };
  }
}
