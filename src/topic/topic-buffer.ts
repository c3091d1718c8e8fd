import { Failure } from '../failure/failure.js';
import type { TopicState } from './admin.js';
import { requirePartitions, requireRange } from './errors.js';
import { FetchedBuilder, type BatchBuilder, type Expected, type Fetched, type FetchLimits } from './fetched.js';
import type { PartitionBuffer } from './partition-buffer.js';

/** The partitions of a topic that are read together. Its invariant: they are all the partitions that the topic has. */
export class TopicBuffer {
  readonly topic: string;
  readonly #partitions: readonly PartitionBuffer[];
  readonly #expected: Expected;
  /** The partition that a batch begins with changes, so that a full one does not starve the others. */
  #turn = 0;

  constructor(topic: string, partitions: readonly PartitionBuffer[], expected: Expected = {}) {
    this.topic = topic;
    this.#partitions = partitions;
    this.#expected = expected;
  }

  get count(): number {
    return this.#partitions.length;
  }

  [Symbol.iterator](): Iterator<PartitionBuffer> {
    return this.#partitions[Symbol.iterator]();
  }

  /** @throws Failure `Unexpected` unless the partition is to be taken from this offset next */
  at(partition: number, first: string): PartitionBuffer {
    const buffer = this.#partitions.find((each) => each.partition === partition);
    if (buffer?.position === Number(first)) return buffer;
    throw new Failure('Unexpected', {
      message: `A named batch of ${this.topic}/${partition} begins at ${first}, the position is ${buffer?.position ?? 'unknown'}.`,
    });
  }

  /** An empty batch of this topic. @param isNamed it was read before, and ends where it ended then */
  builder(limits: FetchLimits, isNamed = false): BatchBuilder {
    const { form } = this.#expected;
    if (form !== undefined) return form(limits, isNamed);
    return new FetchedBuilder(this.topic, limits, this.#expected);
  }

  /** What is queued, up to the limits and before the ends; undefined for nothing. @throws what `FetchedBuilder` throws */
  collect(limits: FetchLimits, ends: Readonly<Record<string, string>> = {}): Fetched | undefined {
    const builder = this.builder(limits);
    this.#turn += 1;
    for (let i = 0; i < this.count; i++) {
      const buffer = this.#partitions[(this.#turn + i) % this.count];
      const end = ends[String(buffer?.partition)];
      buffer?.drainInto(builder, end === undefined ? undefined : Number(end) - 1);
    }
    return builder.isEmpty ? undefined : builder.finish();
  }

  queuedBytes(): number {
    return this.#partitions.reduce((sum, buffer) => sum + buffer.queuedBytes, 0);
  }

  /** Messages in the topic that were not taken, as far as is known. */
  waiting(): number {
    return this.#partitions.reduce((sum, buffer) => sum + Math.max(0, buffer.high - buffer.position), 0);
  }

  clear(): void {
    for (const buffer of this.#partitions) buffer.clear();
  }

  isVerifying(): boolean {
    return this.#partitions.some((buffer) => buffer.isVerifying);
  }

  /** Whether the topic still has what is to be read next. @throws Failure `PartitionsChanged`, `OffsetsExpired`, `TopicReplaced` */
  requireIn(state: TopicState): void {
    requirePartitions(state, this.topic, this.count);
    for (const buffer of this.#partitions) {
      requireRange(state, this.topic, buffer.partition, buffer.next);
      if (buffer.next <= Number(state.offsets[String(buffer.partition)]?.low)) buffer.skipVerification();
    }
  }
}
