import type { TopicLocation } from '../kafka/client/brokers.js';
import type { GroupOffsets } from './group-offsets.js';

/** A moment: everything of the capture up to `published` lay below these offsets. */
interface Moment {
  readonly published: bigint;
  readonly ends: GroupOffsets;
  readonly at: number;
}

/**
 * How far a reader of a topic is behind the capture, from end offsets and its own. No message is read for it: once the reader has
 * passed the ends of a moment, it has read everything that was published before that moment.
 */
export class ReadProgress {
  /** Everything up to here was read. */
  read: bigint;
  #moment: Moment | undefined;

  constructor(read: bigint) {
    this.read = read;
  }

  /** @param published read before the ends were */
  observe(published: bigint, ends: GroupOffsets, offsets: GroupOffsets, now: number): void {
    if (this.#moment !== undefined && isPast(this.#moment.ends, offsets)) this.#finish(this.#moment);
    this.#moment ??= { published, ends, at: now };
    if (isPast(this.#moment.ends, offsets)) this.#finish(this.#moment);
  }

  /** Age, at least, of the oldest message that waits. */
  lagSeconds(now: number): number {
    return this.#moment === undefined ? 0 : (now - this.#moment.at) / 1_000;
  }

  #finish({ published }: Moment): void {
    if (published > this.read) this.read = published;
    this.#moment = undefined;
  }
}

function isPast(ends: GroupOffsets, offsets: GroupOffsets): boolean {
  return Object.entries(ends).every(([partition, end]) => BigInt(offsets[partition] ?? 0) >= BigInt(end));
}

/** Messages from these offsets on. */
export function waitingAt({ offsets: known }: Pick<TopicLocation, 'offsets'>, offsets: GroupOffsets): number {
  return Object.entries(offsets).reduce(
    (sum, [partition, offset]) => sum + Math.max(0, Number(BigInt(known[partition]?.high ?? '0') - BigInt(offset))),
    0,
  );
}
