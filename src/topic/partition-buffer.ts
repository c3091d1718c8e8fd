import type { FetchMemory } from '../kafka/client/fetch-memory.js';
import {
  RecordCursor,
  splitBatches,
  UnreadableRecords,
  type RecordBatch,
} from '../kafka/protocol/record-batch-reader.js';
import type { BatchBuilder } from './fetched.js';
import { recordMark } from './record-mark.js';

/** What a queued batch takes beside its records. */
const BATCH_BYTES = 250;

/** The result of `accept`. */
export type Acceptance =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'gap'; readonly expected: number; readonly found: number }
  /** The record before the position is not the one that is known. */
  | { readonly kind: 'mismatch' };

export interface BufferStart {
  readonly next: number;
  readonly high: number;
  /** Header of the record at `next - 1`, where known. */
  readonly before?: string | undefined;
}

/**
 * The read position of one partition, and the record batches that wait to be taken. Its invariant: what is queued begins at
 * `position`, has no gap, and ends before `next`. So whatever is fetched, a message is neither lost nor taken twice. Offsets are
 * numbers: no topic reaches 2^53 of them.
 */
export class PartitionBuffer {
  readonly partition: number;
  /** The offset that Kafka has to deliver next. */
  next: number;
  /** The next offset to be taken. */
  position: number;
  /** The next offset to be written, as last seen. */
  high: number;
  readonly #where: string;
  readonly #memory: FetchMemory;
  readonly #cursor: RecordCursor;
  /** The queue: the batch that is being taken, and those after it. */
  #head: RecordBatch | undefined;
  #tail: RecordBatch | undefined;
  /** The cursor is in the first batch. */
  #isOpen = false;
  /** The cursor stands on the record at `position`. */
  #isAtRecord = false;
  #queuedBytes = 0;
  /** Memory of the first batch, decompressed. */
  #headBytes = 0;
  /** Header of the record at `next - 1`, to recognise a topic that was made again; out of date while something is queued. */
  #before: string | undefined;
  #isVerifying = false;

  constructor(topic: string, partition: number, memory: FetchMemory, start: BufferStart) {
    this.partition = partition;
    this.next = start.next;
    this.position = start.next;
    this.high = start.high;
    this.#before = start.before;
    this.#where = `${topic}/${partition}`;
    this.#memory = memory;
    this.#cursor = new RecordCursor(this.#where);
  }

  get isEmpty(): boolean {
    return this.#head === undefined;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** The record before `next` is to be fetched again, and has not come yet. */
  get isVerifying(): boolean {
    return this.#isVerifying;
  }

  /** The offset to fetch from. */
  get wanted(): number {
    return this.#isVerifying ? this.next - 1 : this.next;
  }

  /**
   * Has the record before `next` fetched again, where it is known: a topic that was deleted and made again has no gap there, only
   * another record.
   */
  verify(): void {
    if (this.#tail !== undefined) this.#before = this.#headerAt(this.#tail, this.#tail.last);
    this.#isVerifying = this.#before !== undefined && this.next > 0;
  }

  /** The record before the position has expired: there is nothing to compare with. */
  skipVerification(): void {
    this.#before = undefined;
    this.#isVerifying = false;
  }

  /** Queues what was fetched from `wanted`, or says why not. @throws what `splitBatches` throws */
  accept(set: Buffer): Acceptance {
    for (const batch of splitBatches(set, this.#where)) {
      if (batch.last < this.wanted) continue;
      if (batch.first > this.next) return { kind: 'gap', expected: this.next, found: batch.first };
      // As many records as offsets: none is missing, and they need not be read one by one.
      if (batch.count !== batch.last - batch.first + 1) return this.#findGap(batch);
      if (this.#isVerifying) {
        this.#isVerifying = false;
        // Where it does not come it has expired meanwhile: nothing is missing, and nothing can be compared.
        const found = batch.first < this.next ? this.#headerAt(batch, this.next - 1) : undefined;
        if (found !== undefined && found !== this.#before) return { kind: 'mismatch' };
        this.#before = found;
        if (batch.last < this.next) continue;
      }
      if (batch.isControl) return { kind: 'gap', expected: this.next, found: batch.last + 1 };
      this.#push(batch);
    }
    return { kind: 'accepted' };
  }

  /**
   * Hands records to the builder, as many as it takes, up to the offset `last`.
   * @throws what the builder throws; UnreadableRecords
   */
  drainInto(builder: BatchBuilder, last = Number.MAX_SAFE_INTEGER): void {
    const cursor = this.#cursor;
    while (this.position <= last && this.#advance()) {
      if (!builder.offer(this.partition, cursor)) return;
      this.#isAtRecord = false;
      this.position += 1;
      if (this.#head !== undefined && this.position > this.#head.last) this.#finish(this.#head);
    }
  }

  /** Releases all that is queued: nothing is left to take. */
  clear(): void {
    this.#cursor.shut();
    this.#isOpen = false;
    this.#isAtRecord = false;
    this.#head = undefined;
    this.#tail = undefined;
    this.#addBytes(-this.#queuedBytes);
  }

  #push(batch: RecordBatch): void {
    if (this.#tail === undefined) this.#head = batch;
    else this.#tail.after = batch;
    this.#tail = batch;
    this.next = batch.last + 1;
    this.#addBytes(batch.records.length + BATCH_BYTES);
  }

  /** To the record at `position`. @returns whether it is queued */
  #advance(): boolean {
    if (this.#isAtRecord) return true;
    if (this.#head === undefined) return false;
    if (!this.#isOpen) this.#open(this.#head);
    // Batches come whole: the first may begin before the requested offset.
    while (this.#cursor.next()) {
      if (this.#cursor.offset < this.position) continue;
      if (this.#cursor.offset > this.position) break;
      this.#isAtRecord = true;
      return true;
    }
    throw new UnreadableRecords(this.#where);
  }

  #open(batch: RecordBatch): void {
    this.#cursor.open(batch);
    this.#isOpen = true;
    this.#headBytes = batch.records.length + BATCH_BYTES;
    if (!batch.isGzipped) return;
    this.#headBytes += this.#cursor.bytes.length;
    this.#addBytes(this.#cursor.bytes.length);
  }

  #finish(batch: RecordBatch): void {
    this.#isOpen = false;
    this.#addBytes(-this.#headBytes);
    this.#head = batch.after;
    if (this.#head !== undefined) return;
    this.#tail = undefined;
    this.#before = recordMark(this.#cursor);
    // The cursor's bytes keep the whole response in memory.
    this.#cursor.shut();
  }

  #addBytes(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#memory.add(bytes);
  }

  /** Text of our header in one record of the batch. */
  #headerAt(batch: RecordBatch, offset: number): string {
    const cursor = new RecordCursor(this.#where);
    cursor.open(batch);
    while (cursor.next()) if (cursor.offset === offset) return recordMark(cursor);
    return '';
  }

  #findGap(batch: RecordBatch): Acceptance {
    const cursor = new RecordCursor(this.#where);
    cursor.open(batch);
    let expected = Math.max(batch.first, this.next);
    while (cursor.next()) {
      if (cursor.offset < expected) continue;
      if (cursor.offset > expected) return { kind: 'gap', expected, found: cursor.offset };
      expected += 1;
    }
    return { kind: 'gap', expected, found: batch.last + 1 };
  }
}
