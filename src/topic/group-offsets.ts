import { protocolTypeOf } from '../failure/classify-kafka.js';
import type { Brokers } from '../kafka/client/brokers.js';

/** By partition: the next offset to be read, decimal. */
export type GroupOffsets = Readonly<Record<string, string>>;

/**
 * Commits a group's offsets without being a member of it, as Kafka's own `kafka-consumer-groups --reset-offsets` does: for a
 * group without members, any number of topics and processes. In one request; a topic that is gone is passed over.
 * @throws kafkajs's errors; `UNKNOWN_MEMBER_ID` where the group has members
 */
export async function commitGroupOffsets(
  brokers: Brokers,
  group: string,
  moved: readonly (readonly [topic: string, offsets: GroupOffsets])[],
): Promise<void> {
  const ignoreMissing = (error: unknown): undefined => {
    if (protocolTypeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw error;
  };
  // kafkajs learns of brokers with the metadata of a topic.
  let known: unknown;
  for (const [topic] of moved) if ((known ??= await brokers.leaders(topic).catch(ignoreMissing)) !== undefined) break;
  if (known === undefined) return;
  const coordinator = await brokers.coordinator(group);
  const topics = moved.map(([topic, offsets]) => ({
    topic,
    partitions: Object.entries(offsets).map(([partition, offset]) => ({
      partition: Number(partition),
      offset,
      metadata: null,
    })),
  }));
  // It says so of one topic that is missing; the others were taken.
  await coordinator.offsetCommit({ groupId: group, groupGenerationId: -1, memberId: '', topics }).catch(ignoreMissing);
}

/**
 * What a group has committed.
 * @returns only the partitions for which it has an offset
 * @throws kafkajs's errors
 */
export async function readGroupOffsets(
  brokers: Brokers,
  { group, topic, partitions }: { readonly group: string; readonly topic: string; readonly partitions: number },
): Promise<GroupOffsets> {
  await brokers.leaders(topic);
  const coordinator = await brokers.coordinator(group);
  const asked = Array.from({ length: partitions }, (_, partition) => ({ partition }));
  const { responses } = await coordinator.offsetFetch({ groupId: group, topics: [{ topic, partitions: asked }] });
  const committed = responses.flatMap((response) => response.partitions).filter(({ offset }) => BigInt(offset) >= 0n);
  return Object.fromEntries(committed.map(({ partition, offset }) => [String(partition), offset]));
}
