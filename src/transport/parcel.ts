import type { Sealed } from './envelope/envelope.js';
import { HeaderWriter } from './header-writer.js';
import { RECORD_BYTES, RecordBatchWriter } from './record-batch-writer.js';

/** One send is one record batch, and `max.message.bytes` (1 MB) is a limit of the batch. */
export const MOST_BYTES = 900_000;
/** Of the header of a record. */
const HEADER_BYTES = 60;

/** What one send carries: messages of one partition, in order. */
export interface Parcel {
  readonly partition: number;
  readonly batch: RecordBatchWriter;
}

/** Collects the messages of one publish batch into parcels, and numbers their rows. */
export class Parcels {
  readonly #header: HeaderWriter;
  readonly #mostBytes: number;
  readonly #newBatch: () => RecordBatchWriter;
  readonly #open = new Map<number, RecordBatchWriter>();
  #full: Parcel[] = [];
  #row = 0;
  #messages = 0;
  #bytes = 0;

  /** @param mostBytes of a parcel of several messages */
  constructor(
    name: { readonly generation: number; readonly batch: number },
    mostBytes: number,
    newBatch: () => RecordBatchWriter = () => new RecordBatchWriter(),
  ) {
    this.#header = new HeaderWriter(name);
    this.#mostBytes = mostBytes;
    this.#newBatch = newBatch;
  }

  /** All that was added: rows without marks, and bytes of keys and values. */
  get total(): { rows: number; messages: number; bytes: number } {
    return { rows: this.#row, messages: this.#messages, bytes: this.#bytes };
  }

  get hasFull(): boolean {
    return this.#full.length > 0;
  }

  /** Copies the message. */
  add({ partition, key, value, rows, highest, kind }: Sealed): void {
    const header = this.#header.write(this.#row, rows, highest, kind);
    const bytes = value.end - value.start + (key === null ? 0 : key.end - key.start);
    let open = this.#open.get(partition);
    if (open !== undefined && open.size + bytes + HEADER_BYTES + RECORD_BYTES > this.#mostBytes) {
      this.#close(partition, open);
      open = undefined;
    }
    if (open === undefined) this.#open.set(partition, (open = this.#newBatch()));
    open.append(key, value, header);
    this.#row += rows;
    this.#messages += 1;
    this.#bytes += bytes;
    // A large message waits for no other: what it is made of is large too.
    if (open.size > this.#mostBytes) this.#close(partition, open);
  }

  /** The parcels that are complete. */
  takeFull(): Parcel[] {
    const full = this.#full;
    this.#full = [];
    return full;
  }

  /** What is left. */
  end(): Parcel[] {
    for (const [partition, batch] of this.#open) this.#close(partition, batch);
    return this.takeFull();
  }

  #close(partition: number, batch: RecordBatchWriter): void {
    this.#full.push({ partition, batch });
    this.#open.delete(partition);
  }
}
