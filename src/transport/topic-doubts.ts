import { Failure } from '../failure/failure.js';
import type { TopicState } from './topic.js';

/** Why a topic cannot be read on. Each of these would otherwise pass for an empty or a shorter topic. */

export function topicGone(topic: string): Failure {
  return new Failure('TopicReplaced', {
    message: `The topic ${topic} does not exist any more.`,
    remedy: 'It was deleted with all it held: remove the table and add it again to copy it anew.',
  });
}

export function partitionsChanged(topic: string, known: number, now: number): Failure {
  return new Failure('PartitionsChanged', {
    message: `The topic ${topic} had ${known} partitions and has ${now} now: rows of one key may lie in two of them.`,
  });
}

export function endsBefore(topic: string, partition: number | string, last: number | string): Failure {
  return new Failure('TopicReplaced', {
    message: `${topic}/${partition} ends before offset ${last}, which was read before: the topic was deleted and made anew, or lost its end.`,
  });
}

export function offsetGap(topic: string, partition: number, expected: number, found: number): Failure {
  return new Failure('OffsetGap', {
    message: `After offset ${expected - 1} of ${topic}/${partition} comes ${found}: messages are missing, or the topic is compacted or transactional.`,
  });
}

export function otherRecord(topic: string, partition: number, offset: number): Failure {
  return new Failure('TopicReplaced', {
    message: `The record at offset ${offset} of ${topic}/${partition} is not the one that was read there before: the topic was deleted and made anew.`,
  });
}

/** @throws Failure `PartitionsChanged`, or `TopicReplaced` when there are fewer, which Kafka never does to a topic */
export function requirePartitions(state: TopicState, topic: string, known: number): void {
  if (state.partitions > known) throw partitionsChanged(topic, known, state.partitions);
  if (state.partitions < known)
    throw new Failure('TopicReplaced', {
      message: `The topic ${topic} has ${state.partitions} partitions, and had ${known}: it was deleted and made anew.`,
    });
}

/**
 * The offset to be read next must be one that Kafka has, or the very next one to be written.
 * @throws Failure `OffsetsExpired`, `TopicReplaced`
 */
export function requireRange(state: TopicState, topic: string, partition: number, next: number): void {
  const { low = '0', high = '0' } = state.offsets[String(partition)] ?? {};
  if (next < Number(low))
    throw new Failure('OffsetsExpired', {
      message: `Kafka deleted offsets ${next} to ${Number(low) - 1} of ${topic}/${partition} before they were loaded.`,
    });
  if (next > Number(high)) throw endsBefore(topic, partition, next - 1);
}
