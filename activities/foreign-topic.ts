import { openDebeziumTopic } from '../src/debezium/debezium-topic.js';
import { positionOfCopy } from '../src/debezium/version-of.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import { requireKafka } from '../src/domain/route.js';
import type { Capture } from '../src/source/capture.js';
import type { ForeignTopic, TopicPosition } from '../src/topic/topic-source.js';
import type { Deps } from './deps.js';
import { endOffsets } from './prepare-table.js';

/**
 * How the topic of a table is read that others write; undefined for a topic of ours.
 * @param position of the live flow; absent for a replay
 */
export function foreignTopic(
  { ledger, source, registry }: Pick<Deps, 'ledger' | 'source' | 'registry'>,
  table: ReplicatedTable,
  topic: string,
  position?: TopicPosition,
): ForeignTopic | undefined {
  if (table.route.capture.foreignTopic !== true) return undefined;
  return openDebeziumTopic({ ledger, source, registry }, table, topic, position);
}

/** What allocates the position of a copy: where others write the topic, its end is that. */
export function captureOf(deps: Deps, { route }: ReplicatedTable): Capture {
  const capture = deps.captures.named(route.capture.kind);
  if (route.capture.foreignTopic !== true) return capture;
  return {
    ...capture,
    async allocatePosition() {
      const [end = '0'] = Object.values(await endOffsets(deps, requireKafka(route).topic));
      return positionOfCopy(end);
    },
  };
}
