import { setTimeout as sleep } from 'node:timers/promises';
import type { BatchName } from '../domain/batch.js';
import type { KafkaTransport } from '../domain/route.js';
import type { BatchWriter, WriteOptions, Written } from '../pipeline/batch.js';
import type { AvroForm, MessageOrigin } from '../messages/encoder.js';
import { BROKER_RETRY } from '../pipeline/retry.js';
import { SMALL_ROWS, type SmallBatchThrottle } from '../pipeline/small-batch-throttle.js';
import type { RowBatch } from '../pipeline/row-batch.js';
import type { Publisher } from './writer.js';

export interface TopicWriterOptions {
  /** The id of the deployment: it is in every message. */
  readonly origin: string;
  /** That is read: that of a batch's name may be an earlier one. */
  readonly shape: number;
  /** The columns of the rows, where these are COPY text. */
  readonly columns: readonly string[] | undefined;
  /** Of messages in Avro. */
  readonly avro?: AvroForm | undefined;
  readonly from: MessageOrigin;
  readonly throttle: SmallBatchThrottle;
}

/** Writes the rows of a batch into a table's topic. A crash may leave a part of it there: it is written again whole. */
export class TopicBatchWriter implements BatchWriter<RowBatch> {
  readonly retry = BROKER_RETRY;
  readonly #publisher: Publisher;
  readonly #transport: KafkaTransport;
  readonly #throttle: SmallBatchThrottle;
  readonly #origin: string;
  readonly #shape: number;
  readonly #columns: readonly string[] | undefined;
  readonly #avro: AvroForm | undefined;
  readonly #from: MessageOrigin;

  constructor(publisher: Publisher, transport: KafkaTransport, options: TopicWriterOptions) {
    this.#origin = options.origin;
    this.#shape = options.shape;
    this.#columns = options.columns;
    this.#avro = options.avro;
    this.#from = options.from;
    this.#publisher = publisher;
    this.#transport = transport;
    this.#throttle = options.throttle;
  }

  verify(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async write({ batch, generation }: BatchName, content: RowBatch, { onProgress }: WriteOptions): Promise<Written> {
    const { topic, partitions, format, payload } = this.#transport;
    return this.#publisher.send(
      {
        topic,
        partitions,
        format,
        payload,
        origin: this.#origin,
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
      },
      content.changes,
    );
  }

  /** The next batch, which is named with the confirmation of this one, grows meanwhile. */
  async rest({ rows }: Written, tookMs: number, signal: AbortSignal): Promise<void> {
    if (rows >= SMALL_ROWS) return;
    this.#throttle.record(this, tookMs);
    const leftMs = this.#throttle.intervalMs() - tookMs;
    if (leftMs > 1) await sleep(leftMs, undefined, { signal }).catch(() => undefined);
  }
}
