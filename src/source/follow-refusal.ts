import type { ReplicatedTable } from '../domain/replicated-table.js';
import { COPY_STAGE, stagesOf } from '../domain/route.js';
import type { ShapeDifference } from './catalog/shape-difference.js';

/** What the route of a table does not follow, as clauses. */
export function refuseByRoute(
  { route }: Pick<ReplicatedTable, 'route'>,
  { class: kind, changes }: Pick<ShapeDifference, 'class' | 'changes'>,
): readonly string[] {
  if (route.loaders.some((loader) => loader.kind === 'kafka-engine'))
    return [`${changes.join('; ')}: ClickHouse's Kafka engine would read its messages without that`];
  const isCopied = stagesOf(route).some(({ id }) => id === COPY_STAGE);
  if (kind === 'copy' && !isCopied)
    return [`${changes.join('; ')}: its rows would have to be read again, and it is loaded from its first row on`];
  if (kind === 'copy' && route.capture.foreignTopic === true)
    return [`${changes.join('; ')}: its rows would have to be read again, and the topic has no message of them`];
  return [];
}
