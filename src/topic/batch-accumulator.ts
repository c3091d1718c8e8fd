import { RECORD_BYTES, RecordBatchWriter, type RecordHeader } from '../kafka/protocol/record-batch-writer.js';
import type { EncodedMessage } from '../messages/encoder.js';
import { HeaderWriter, MESSAGE_HEADER, type BatchHeader } from '../messages/header.js';

/** One send is one record batch, and `max.message.bytes` (1 MB) is a limit of the batch. */
export const MOST_BYTES = 900_000;
/** The most that our header takes in a message. */
const HEADER_BYTES = 100;
const NAME = Buffer.from(MESSAGE_HEADER);

/** What one send carries: messages of one partition, in order. */
export interface ReadyBatch {
  readonly partition: number;
  readonly batch: RecordBatchWriter;
}

/**
 * Collects the messages of one publish batch into record batches. Its invariant: the rows of all messages are numbered without
 * a gap in the order in which they were added, and each partition has one open record batch at most.
 */
export class BatchAccumulator {
  readonly #header: HeaderWriter;
  readonly #mostBytes: number;
  readonly #newBatch: () => RecordBatchWriter;
  readonly #open = new Map<number, RecordBatchWriter>();
  #ready: ReadyBatch[] = [];
  #row = 0;
  #messages = 0;
  #bytes = 0;

  /** @param mostBytes of a record batch of several messages */
  constructor(name: BatchHeader, mostBytes: number, newBatch: () => RecordBatchWriter = () => new RecordBatchWriter()) {
    this.#header = new HeaderWriter(name);
    this.#mostBytes = mostBytes;
    this.#newBatch = newBatch;
  }

  /** All that was added: rows without TRUNCATE markers, and bytes of keys and values. */
  get total(): { rows: number; messages: number; bytes: number } {
    return { rows: this.#row, messages: this.#messages, bytes: this.#bytes };
  }

  get hasReady(): boolean {
    return this.#ready.length > 0;
  }

  /** Copies the message. */
  add({ partition, key, value, rows, highest, kind, headers }: EncodedMessage): void {
    const header: RecordHeader = { name: NAME, value: this.#header.write(this.#row, rows, highest, kind) };
    const bytes = sizeOf({ key, value });
    let open = this.#open.get(partition);
    if (open !== undefined && open.size + bytes + bytesOf(headers) + HEADER_BYTES + RECORD_BYTES > this.#mostBytes) {
      this.#close(partition, open);
      open = undefined;
    }
    if (open === undefined) this.#open.set(partition, (open = this.#newBatch()));
    open.append(key, value, headers.length === 0 ? [header] : [header, ...headers]);
    this.#row += rows;
    this.#messages += 1;
    this.#bytes += bytes;
    // A large message does not wait for others: what it is made of takes as much memory again.
    if (open.size > this.#mostBytes) this.#close(partition, open);
  }

  /** The record batches that are complete. */
  takeReady(): ReadyBatch[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  /** All that is left. */
  end(): ReadyBatch[] {
    for (const [partition, batch] of this.#open) this.#close(partition, batch);
    return this.takeReady();
  }

  #close(partition: number, batch: RecordBatchWriter): void {
    this.#ready.push({ partition, batch });
    this.#open.delete(partition);
  }
}

/** Of a message, without its headers. */
export function sizeOf({ key, value }: Pick<EncodedMessage, 'key' | 'value'>): number {
  return (value === null ? 0 : value.end - value.start) + (key === null ? 0 : key.end - key.start);
}

function bytesOf(headers: readonly RecordHeader[]): number {
  let bytes = 0;
  for (const { name, value } of headers) bytes += RECORD_BYTES + name.length + value.end - value.start;
  return bytes;
}
