import { nameOfLog } from '../domain/log-columns.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import { COPY_STAGE, stagesOf } from '../domain/route.js';
import type { ShapeDifference } from './catalog/shape-difference.js';
import { ambiguousColumns } from './wal/log/place-form.js';

/** What the route of a table does not follow, as clauses. */
export function refuseByRoute(
  table: Pick<ReplicatedTable, 'route' | 'columns' | 'shapes'>,
  { class: kind, changes, columns }: Pick<ShapeDifference, 'class' | 'changes' | 'columns'>,
): readonly string[] {
  const { route } = table;
  if (route.loaders.some((loader) => loader.kind === 'kafka-engine'))
    return [`${changes.join('; ')}, which ClickHouse's Kafka engine does not follow`];
  const ofLog = route.capture.everyChange === true ? refuseByLog(table, columns) : undefined;
  if (ofLog !== undefined) return [`${changes.join('; ')}: ${ofLog}`];
  const isCopied = stagesOf(route).some(({ id }) => id === COPY_STAGE);
  if (kind === 'copy' && !isCopied)
    return [
      `${changes.join('; ')}, so its rows would have to be read again, and ${route.capture.everyChange === true ? 'a log has changes alone' : `a table with --capture ${route.capture.kind} reads each row once`}`,
    ];
  if (kind === 'copy' && route.capture.foreignTopic === true)
    return [`${changes.join('; ')}, so its rows would have to be read again, and the topic has no message of them`];
  return [];
}

function refuseByLog(
  table: Pick<ReplicatedTable, 'columns' | 'shapes'>,
  columns: ReplicatedTable['columns'],
): string | undefined {
  const reserved = nameOfLog(columns);
  return reserved === undefined ? ambiguousColumns(table, columns) : `a log has a column ${reserved} of its own`;
}
