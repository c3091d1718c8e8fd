import { classifyKafka } from '../failure/classify-kafka.js';
import { Failure } from '../failure/failure.js';
import { ClientClosed, MissingPartition, Superseded } from '../kafka/client/errors.js';
import { protocolErrorName } from '../kafka/client/kafkajs.js';
import { UnreadableRecords, UnsupportedCodec, UnsupportedFormat } from '../kafka/protocol/record-batch-reader.js';
import { originText } from '../messages/header.js';
import type { TopicState } from './admin.js';

/**
 * The failure of anything that the Kafka client threw.
 * @param what what was being done, as the beginning of a sentence: "Publishing to topic orders"
 */
export function topicFailure(error: unknown, what: string, topic: string): Failure {
  if (error instanceof MissingPartition)
    return error.partitions === undefined
      ? topicGone(topic)
      : (partitionsFailure(error.partitions, topic, error.partition + 1) ?? classifyKafka(error, what));
  if (error instanceof Superseded)
    return new Failure('Fenced', {
      message: `A newer attempt of this worker reads topic ${topic} now.`,
      cause: error,
    });
  if (error instanceof ClientClosed)
    return new Failure('Unexpected', { message: `${what}: the connections to Kafka were closed.`, cause: error });
  return recordsFailure(error, topic) ?? classifyKafka(error, what);
}

/** What fetching a partition failed with. @param code Kafka's error code */
export function partitionFailure(code: number, topic: string, partition: number): Failure {
  const type = protocolErrorName(code);
  const failure = classifyKafka({ type }, `Reading topic ${topic}`);
  if (failure.kind === 'Unauthorized')
    return new Failure('Unauthorized', { message: `Kafka does not let this user read the topic ${topic}.` });
  return new Failure(failure.kind === 'Misconfigured' ? 'Misconfigured' : 'BrokerUnavailable', {
    message: `Reading topic ${topic}: Kafka does not serve partition ${partition} (${type}, code ${code}).`,
  });
}

function recordsFailure(error: unknown, topic: string): Failure | undefined {
  if (error instanceof UnsupportedCodec)
    return new Failure('Misconfigured', {
      message: `Messages of topic ${topic} are compressed with ${error.codec}, which pg2click does not read.`,
      remedy:
        'Set compression.type=producer on the topic (gzip is read too). What is stored stays compressed: then remove the table and add it again.',
      cause: error,
    });
  if (error instanceof UnsupportedFormat)
    return new Failure('Misconfigured', {
      message: `Messages of topic ${topic} are stored in Kafka's old format ${error.format}, which has no headers.`,
      remedy:
        'Remove message.format.version from the topic and log.message.format.version from the broker; then remove the table and add it again.',
      cause: error,
    });
  if (error instanceof UnreadableRecords) return new Failure('Unexpected', { message: error.message, cause: error });
  return undefined;
}

// ---- why a topic cannot be read on: each would otherwise pass for an empty or a shorter topic

export function topicGone(topic: string): Failure {
  return new Failure('TopicReplaced', {
    message: `The topic ${topic} does not exist any more.`,
    remedy: 'It was deleted with all it held: remove the table and add it again, which copies it.',
  });
}

export function foreignMessage(topic: string, partition: number, offset: number): Failure {
  return new Failure('TopicReplaced', {
    message: `The message at offset ${offset} of ${topic}/${partition} was not written by pg2click.`,
    remedy:
      'Something else writes into the topic: stop it, or choose another name with --topic. Then remove the table and add it again.',
  });
}

/** @param written by `originNumber`, as `own` */
export function otherDeployment(
  message: { topic: string; partition: number; offset: number },
  written: number,
  own: number,
): Failure {
  const { topic, partition, offset } = message;
  return new Failure('TopicReplaced', {
    message: `The message at offset ${offset} of ${topic}/${partition} was written by deployment ${originText(written)}, this is deployment ${originText(own)}. Two deployments write into one topic.`,
    remedy:
      'Give this table a topic of its own: remove it and add it again with another topic name, or stop the other deployment.',
  });
}

export function newerGeneration(topic: string, partition: number, offset: number): Failure {
  return new Failure('LedgerSetBack', {
    message: `The message at offset ${offset} of ${topic}/${partition} belongs to a newer generation of the table than the ledger knows.`,
  });
}

export function endsBefore(topic: string, partition: number | string, last: number | string): Failure {
  return new Failure('TopicReplaced', {
    message: `${topic}/${partition} ends before offset ${last}, which was read before: the topic was deleted and made again, or lost its end.`,
  });
}

/** @param last the offset of the last record that Kafka has acknowledged */
export function acknowledgedGone(topic: string, partition: number | string, last: bigint | string): Failure {
  return new Failure('TopicReplaced', {
    message: `Kafka acknowledged the record at offset ${last} of ${topic}/${partition}, and has lost it: the topic lost its end, or was deleted and made again.`,
    remedy: 'What was published may be missing in ClickHouse: remove the table and add it again, which copies it.',
  });
}

export function offsetGap(topic: string, partition: number, expected: number, found: number): Failure {
  return new Failure('OffsetGap', {
    message: `After offset ${expected - 1} of ${topic}/${partition} comes ${found}: messages are missing, or the topic is compacted or transactional.`,
  });
}

export function otherRecord(topic: string, partition: number, offset: number): Failure {
  return new Failure('TopicReplaced', {
    message: `The record at offset ${offset} of ${topic}/${partition} is not the one that was read there before: the topic was deleted and made again.`,
  });
}

/** @throws Failure `PartitionsChanged`, or `TopicReplaced` when there are fewer, which Kafka never does to a topic */
export function requirePartitions(state: TopicState, topic: string, known: number): void {
  const failure = partitionsFailure(state.partitions, topic, known);
  if (failure !== undefined) throw failure;
}

function partitionsFailure(now: number, topic: string, known: number): Failure | undefined {
  if (now > known)
    return new Failure('PartitionsChanged', {
      message: `The topic ${topic} had ${known} partitions and has ${now} now: rows of one key may lie in two of them.`,
    });
  if (now < known)
    return new Failure('TopicReplaced', {
      message: `The topic ${topic} has ${now} partitions, and had ${known}: it was deleted and made again.`,
    });
  return undefined;
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
