import type { KafkaMessage } from 'kafkajs';
import { MESSAGE_HEADER } from '../domain/message-header.js';
import type { FetchedBuilder } from './fetched.js';

/** What a queued message weighs beside its value: two Buffers and their places. */
const MESSAGE_BYTES = 250;

/** Messages of one Kafka fetch, with consecutive offsets. kafkajs's own message objects are let go: they weigh 600 bytes. */
interface Run {
  /** Offset of `values[0]`. */
  readonly first: number;
  readonly values: (Buffer | null)[];
  readonly headers: (Buffer | undefined)[];
  /** Of the first message, milliseconds. */
  readonly timestampMs: number;
  /** Messages handed out already. */
  taken: number;
}

/** What a lane says to a fetched batch. */
export type Acceptance =
  | { readonly kind: 'accepted' }
  /** kafkajs has gone back: after a rejoin, or because the offset was out of range. */
  | { readonly kind: 'rewound' }
  | { readonly kind: 'gap'; readonly expected: number; readonly found: number }
  /** The record before the position is not the one we knew. */
  | { readonly kind: 'stranger' };

/**
 * One partition: the offset expected next, and the messages that wait to be taken. Its invariant: what is queued begins at
 * `position`, has no gap, and ends before `next`. So whatever kafkajs does with its own position, a message is neither lost nor
 * taken twice. Offsets are numbers: 2^53 of them last for ever.
 */
export class Lane {
  readonly partition: number;
  /** The offset that Kafka has to deliver next. */
  next: number;
  /** The next offset to be written, as last seen. */
  high: number;
  /** Weight of the queue, bytes. */
  queuedBytes = 0;
  /** Header of the record before the position that it was started at, once it has come. */
  found: string | undefined;
  /** Header of the record at `next - 1`, where known: null when it is asked for, whatever it is. */
  #before: string | null | undefined;
  #awaitingBefore = false;
  readonly #runs: Run[] = [];

  constructor(partition: number, start: { next: number; high: number; before?: string | null | undefined }) {
    this.partition = partition;
    this.next = start.next;
    this.high = start.high;
    this.#before = start.before;
  }

  /** The next offset to be taken. */
  get position(): number {
    const run = this.#runs[0];
    return run === undefined ? this.next : run.first + run.taken;
  }

  get isEmpty(): boolean {
    return this.#runs.length === 0;
  }

  /** The record before the position was asked for, and has not come yet. */
  get isAwaitingBefore(): boolean {
    return this.#awaitingBefore;
  }

  /** The record before the position has expired: nothing to compare with. */
  forgetBefore(): void {
    this.#before = undefined;
    this.#awaitingBefore = false;
  }

  /**
   * The offset to fetch from. Where the record before it is known it is read once more: a topic that was deleted and made anew
   * has no gap there, only another record.
   */
  seekOffset(): number {
    this.#awaitingBefore = this.#before !== undefined && this.next > 0;
    return this.#awaitingBefore ? this.next - 1 : this.next;
  }

  /** Takes in a fetched batch, in order, or says why not. */
  accept(messages: readonly KafkaMessage[]): Acceptance {
    const first = Number(messages[0]?.offset);
    const last = Number(messages.at(-1)?.offset);
    const wanted = this.#awaitingBefore ? this.next - 1 : this.next;
    if (first < wanted) return { kind: 'rewound' };
    if (first > this.next) return { kind: 'gap', expected: this.next, found: first };
    // Offsets only rise, so as many messages as offsets means that none is missing: no look at each of them.
    if (last - first + 1 !== messages.length) return findGap(messages, first);
    const fresh = this.#awaitingBefore && first < this.next ? messages.slice(1) : messages;
    if (this.#awaitingBefore) {
      this.#awaitingBefore = false;
      // Expired meanwhile, where it does not come: nothing is missing, and nothing can be compared.
      this.found = first < this.next ? headerText(messages[0]) : undefined;
      if (first < this.next && this.#before !== null && this.found !== this.#before) return { kind: 'stranger' };
      this.#before = this.found;
    }
    if (fresh.length > 0) this.#push(fresh);
    return { kind: 'accepted' };
  }

  /** Hands messages to the builder, as many as it takes, up to the offset `last`. */
  drainInto(builder: FetchedBuilder, last = Number.MAX_SAFE_INTEGER): void {
    for (let run = this.#runs[0]; run !== undefined; run = this.#runs[0]) {
      while (run.taken < run.values.length) {
        const offset = run.first + run.taken;
        const value = run.values[run.taken] ?? null;
        if (offset > last || !builder.offer(this.partition, offset, value, run.headers[run.taken], run.timestampMs))
          return;
        this.queuedBytes -= weightOf(value);
        // Let go at once: each value pins the whole response it came in.
        run.values[run.taken] = null;
        run.taken += 1;
      }
      this.#runs.shift();
    }
  }

  #push(messages: readonly KafkaMessage[]): void {
    const values = messages.map(({ value }) => value);
    const headers = messages.map(headerOf);
    this.#runs.push({ first: this.next, values, headers, timestampMs: Number(messages[0]?.timestamp), taken: 0 });
    this.next += messages.length;
    this.queuedBytes += values.reduce((sum, value) => sum + weightOf(value), 0);
    this.#before = headerText(messages.at(-1));
  }
}

function findGap(messages: readonly KafkaMessage[], first: number): Acceptance {
  const index = messages.findIndex(({ offset }, place) => Number(offset) !== first + place);
  return { kind: 'gap', expected: first + index, found: Number(messages[index]?.offset) };
}

function headerOf(message: KafkaMessage | undefined): Buffer | undefined {
  const header = message?.headers?.[MESSAGE_HEADER];
  return Buffer.isBuffer(header) ? header : undefined;
}

function headerText(message: KafkaMessage | undefined): string {
  return headerOf(message)?.toString('latin1') ?? '';
}

function weightOf(value: Buffer | null): number {
  return (value?.length ?? 0) + MESSAGE_BYTES;
}
