import type { Admin } from 'kafkajs';
import { BOUND_FORMS, parseBound, type ReplayTerms, type TopicOffsets } from '../domain/replay.js';
import { classifyKafka } from '../failure/classify-kafka.js';
import { Failure } from '../failure/failure.js';
import type { TopicState } from './admin.js';

/**
 * The offsets that the terms of a replay mean, as the topic is now. A time means the first message sent at that time or later, by
 * the clock of the worker that sent it.
 * @throws Failure `OffsetsExpired` the range begins before the first offset there is; `Misconfigured` no offsets of this topic, a
 *   range that ends before it begins, or one that begins in the future; `BrokerUnavailable`
 */
export async function readRange(
  admin: Admin,
  topic: string,
  state: TopicState,
  { from, to }: Pick<ReplayTerms, 'from' | 'to'>,
): Promise<{ readonly start: TopicOffsets; readonly end: TopicOffsets }> {
  refuseFuture(from);
  const start = await readBound(admin, topic, state, { text: from, option: '--from' });
  const end =
    to === undefined ? edges(state, 'high') : await readBound(admin, topic, state, { text: to, option: '--to' });
  const low = edges(state, 'low');
  for (const [partition, offset] of Object.entries(start)) {
    const earliest = low[partition] ?? '0';
    if (BigInt(offset) < BigInt(earliest))
      throw new Failure('OffsetsExpired', {
        message: `Kafka has deleted offsets ${offset} to ${BigInt(earliest) - 1n} of ${topic}/${partition}: the earliest is ${earliest}.`,
        remedy: `Replay from there: --from ${Object.entries(low)
          .map((pair) => pair.join(':'))
          .join(',')}, or --from beginning, which means the same.`,
      });
    const last = end[partition] ?? '0';
    if (BigInt(offset) > BigInt(last))
      throw new Failure('Misconfigured', {
        message: `The range of ${topic}/${partition} begins at offset ${offset} and ends at ${last}.`,
        remedy: 'Ask for a range that begins before it ends.',
      });
  }
  return { start, end };
}

function refuseFuture(from: string): void {
  const bound = parseBound(from);
  if (bound?.kind !== 'time' || Date.parse(bound.at) <= Date.now()) return;
  throw new Failure('Misconfigured', {
    message: `--from ${from} is in the future: no message was sent then or later.`,
    remedy: `Give a time before now, which is ${new Date().toISOString()} for this worker.`,
  });
}

async function readBound(
  admin: Admin,
  topic: string,
  state: TopicState,
  { text, option }: { readonly text: string; readonly option: string },
): Promise<TopicOffsets> {
  const bound = parseBound(text);
  if (bound === undefined)
    throw new Failure('Misconfigured', {
      message: `${option} "${text}" is no place in a topic.`,
      remedy: `Give beginning, ${BOUND_FORMS}.`,
    });
  switch (bound.kind) {
    case 'beginning':
      return edges(state, 'low');
    case 'offsets':
      return offsetsOf(bound.offsets, topic, state, option);
    case 'time':
      return offsetsAt(admin, topic, bound.at);
    default:
      return bound satisfies never;
  }
}

function edges({ offsets }: TopicState, edge: 'low' | 'high'): TopicOffsets {
  return Object.fromEntries(Object.entries(offsets).map(([partition, of]) => [partition, of[edge]]));
}

function offsetsOf(given: TopicOffsets, topic: string, state: TopicState, option: string): TopicOffsets {
  const partitions = Object.keys(state.offsets);
  const isSingle = given['*'] !== undefined && partitions.length === 1;
  const offsets = isSingle ? { [partitions[0] ?? '0']: given['*'] ?? '0' } : given;
  const names = Object.keys(offsets).toSorted().join();
  if (names !== partitions.toSorted().join())
    throw new Failure('Misconfigured', {
      message: `${option} must name the ${partitions.length} partitions of ${topic}: ${partitions.join(', ')}.`,
      remedy: `Write ${option} ${partitions.map((partition) => `${partition}:OFFSET`).join(',')}.`,
    });
  for (const [partition, offset] of Object.entries(offsets)) {
    const { high = '0' } = state.offsets[partition] ?? {};
    if (BigInt(offset) > BigInt(high))
      throw new Failure('Misconfigured', {
        message: `${option} names offset ${offset} of ${topic}/${partition}, which ends at ${high}.`,
        remedy: `Give an offset of at most ${high}.`,
      });
  }
  return offsets;
}

async function offsetsAt(admin: Admin, topic: string, at: string): Promise<TopicOffsets> {
  try {
    const found = await admin.fetchTopicOffsetsByTimestamp(topic, Date.parse(at));
    return Object.fromEntries(found.map(({ partition, offset }) => [String(partition), offset]));
  } catch (error) {
    throw classifyKafka(error, `Looking for the offsets of ${at} in topic ${topic}`);
  }
}
