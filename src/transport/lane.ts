import type { FetchMemory } from './fetch-memory.js';
import type { FetchedBuilder } from './fetched.js';
import { RecordCursor, splitBatches, unreadable, type RecordBatch } from './record-batch-reader.js';

/** What a queued batch weighs beside its records. */
const BATCH_BYTES = 250;

/** What a lane says to fetched records. */
export type Acceptance =
  | { readonly kind: 'accepted' }
  | { readonly kind: 'gap'; readonly expected: number; readonly found: number }
  /** The record before the position is not the one we knew. */
  | { readonly kind: 'stranger' };

export interface LaneStart {
  readonly next: number;
  readonly high: number;
  /** Header of the record at `next - 1`, where known. */
  readonly before?: string | undefined;
}

/**
 * One partition: the offset expected next, and the record batches that wait to be taken. Its invariant: what is queued begins at
 * `position`, has no gap, and ends before `next`. So whatever is fetched, a message is neither lost nor taken twice. Offsets are
 * numbers: 2^53 of them last for ever.
 */
export class Lane {
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
  /** What the first batch weighs, inflated. */
  #headBytes = 0;
  /** As in `LaneStart`; where something is queued the last of that comes before `next`. */
  #before: string | undefined;
  #isAwaitingBefore = false;

  constructor(topic: string, partition: number, memory: FetchMemory, start: LaneStart) {
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

  /** The record before the position was asked for, and has not come yet. */
  get isAwaitingBefore(): boolean {
    return this.#isAwaitingBefore;
  }

  /** The offset to fetch from. */
  get wanted(): number {
    return this.#isAwaitingBefore ? this.next - 1 : this.next;
  }

  /**
   * Reads the record before `next` once more, where it is known: a topic that was deleted and made anew has no gap there, only
   * another record.
   */
  lookAgain(): void {
    if (this.#tail !== undefined) this.#before = this.#headerAt(this.#tail, this.#tail.last);
    this.#isAwaitingBefore = this.#before !== undefined && this.next > 0;
  }

  /** The record before the position has expired: nothing to compare with. */
  forgetBefore(): void {
    this.#before = undefined;
    this.#isAwaitingBefore = false;
  }

  /** Takes in what was fetched from `wanted`, in order, or says why not. @throws what `splitBatches` throws */
  accept(set: Buffer): Acceptance {
    for (const batch of splitBatches(set, this.#where)) {
      if (batch.last < this.wanted) continue;
      if (batch.first > this.next) return { kind: 'gap', expected: this.next, found: batch.first };
      // As many records as offsets means that none is missing: no look at each of them.
      if (batch.count !== batch.last - batch.first + 1) return this.#findGap(batch);
      if (this.#isAwaitingBefore) {
        this.#isAwaitingBefore = false;
        // Expired meanwhile, where it does not come: nothing is missing, and nothing can be compared.
        const found = batch.first < this.next ? this.#headerAt(batch, this.next - 1) : undefined;
        if (found !== undefined && found !== this.#before) return { kind: 'stranger' };
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
   * @throws what the builder throws; Failure `Unexpected` for a batch that cannot be read
   */
  drainInto(builder: FetchedBuilder, last = Number.MAX_SAFE_INTEGER): void {
    const cursor = this.#cursor;
    while (this.position <= last && this.#advance()) {
      if (!builder.offer(this.partition, cursor)) return;
      this.#isAtRecord = false;
      this.position += 1;
      if (this.#head !== undefined && this.position > this.#head.last) this.#finish(this.#head);
    }
  }

  /** Lets go of all that is queued. */
  drop(): void {
    this.#cursor.shut();
    this.#head = undefined;
    this.#tail = undefined;
    this.#weigh(-this.#queuedBytes);
  }

  #push(batch: RecordBatch): void {
    if (this.#tail === undefined) this.#head = batch;
    else this.#tail.after = batch;
    this.#tail = batch;
    this.next = batch.last + 1;
    this.#weigh(batch.records.length + BATCH_BYTES);
  }

  /** To the record at `position`. @returns whether it is queued */
  #advance(): boolean {
    if (this.#isAtRecord) return true;
    if (this.#head === undefined) return false;
    if (!this.#isOpen) this.#open(this.#head);
    // Batches come whole: the first may begin before what was asked for.
    while (this.#cursor.next()) {
      if (this.#cursor.offset < this.position) continue;
      if (this.#cursor.offset > this.position) break;
      this.#isAtRecord = true;
      return true;
    }
    throw unreadable(this.#where);
  }

  #open(batch: RecordBatch): void {
    this.#cursor.open(batch);
    this.#isOpen = true;
    this.#headBytes = batch.records.length + BATCH_BYTES;
    if (!batch.isGzipped) return;
    this.#headBytes += this.#cursor.bytes.length;
    this.#weigh(this.#cursor.bytes.length);
  }

  #finish(batch: RecordBatch): void {
    this.#isOpen = false;
    this.#weigh(-this.#headBytes);
    this.#head = batch.after;
    if (this.#head !== undefined) return;
    this.#tail = undefined;
    this.#before = this.#cursor.header();
    // Its bytes pin the whole response.
    this.#cursor.shut();
  }

  #weigh(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#memory.add(bytes);
  }

  /** Text of our header of one record of the batch. */
  #headerAt(batch: RecordBatch, offset: number): string {
    const cursor = new RecordCursor(this.#where);
    cursor.open(batch);
    while (cursor.next()) if (cursor.offset === offset) return cursor.header();
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
