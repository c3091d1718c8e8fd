import { Failure } from '../failure/failure.js';
import { FetchedBuilder, type Fetched, type FetchLimits } from './fetched.js';
import type { Lane } from './lane.js';
import { requirePartitions, requireRange } from './topic-doubts.js';
import type { TopicState } from './topic.js';

/** The partitions of a topic that are read together. */
export class Lanes {
  readonly topic: string;
  readonly #lanes: readonly Lane[];
  readonly #generation: number | undefined;
  #turn = 0;

  constructor(topic: string, lanes: readonly Lane[], generation?: number) {
    this.topic = topic;
    this.#lanes = lanes;
    this.#generation = generation;
  }

  get count(): number {
    return this.#lanes.length;
  }

  [Symbol.iterator](): Iterator<Lane> {
    return this.#lanes[Symbol.iterator]();
  }

  get(partition: number): Lane | undefined {
    return this.#lanes.find((lane) => lane.partition === partition);
  }

  /** @throws Failure `Unexpected` unless the partition is to be taken from this offset next */
  at(partition: number, first: string): Lane {
    const lane = this.get(partition);
    if (lane?.position === Number(first)) return lane;
    throw new Failure('Unexpected', {
      message: `A named batch of ${this.topic}/${partition} begins at ${first}, the position is ${lane?.position ?? 'unknown'}.`,
    });
  }

  /** An empty batch of this topic and generation. */
  builder(limits: FetchLimits): FetchedBuilder {
    return new FetchedBuilder(this.topic, limits, this.#generation);
  }

  /** What is queued, up to the limits; undefined for nothing. @throws what `FetchedBuilder` throws */
  collect(limits: FetchLimits): Fetched | undefined {
    const builder = this.builder(limits);
    // A turn each, so that a full partition does not starve the others.
    this.#turn += 1;
    for (let i = 0; i < this.count; i++) this.#lanes[(this.#turn + i) % this.count]?.drainInto(builder);
    return builder.isEmpty ? undefined : builder.finish();
  }

  queuedBytes(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.queuedBytes, 0);
  }

  /** Messages in the topic that were not taken, as far as is known. */
  waiting(): number {
    return this.#lanes.reduce((sum, lane) => sum + Math.max(0, lane.high - lane.position), 0);
  }

  drop(): void {
    for (const lane of this.#lanes) lane.drop();
  }

  isAwaitingBefore(): boolean {
    return this.#lanes.some((lane) => lane.isAwaitingBefore);
  }

  /** Whether the topic still has what is to be read next. @throws Failure `PartitionsChanged`, `OffsetsExpired`, `TopicReplaced` */
  requireIn(state: TopicState): void {
    requirePartitions(state, this.topic, this.count);
    for (const lane of this.#lanes) {
      requireRange(state, this.topic, lane.partition, lane.next);
      if (lane.next <= Number(state.offsets[String(lane.partition)]?.low)) lane.forgetBefore();
    }
  }
}
