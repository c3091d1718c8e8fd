import { holds } from '../../domain/clickhouse-type.js';
import { byPosition, columnType } from '../../domain/column-type.js';
import { isLog, LOG_COLUMNS, loggedColumns } from '../../domain/log-columns.js';
import { quoteCh } from '../../domain/identifier.js';
import { physicalName, type TargetTable } from '../../domain/replicated-table.js';
import { physicalNames } from '../../domain/shape.js';
import type { SinkColumn, SinkObject } from '../catalog.js';
import { FILLED_KINDS, isInKey } from '../fit.js';
import { alterTable, extraColumn, type Misfit } from '../misfit.js';

/** The columns of the target, in the order in which rows have them: those of the source, and of a log those that say what changed. */
export function appendColumns(
  table: Pick<TargetTable, 'columns'> & Partial<Pick<TargetTable, 'engine' | 'shapes'>>,
): { name: string; type: string }[] {
  const columns = isLog(table) ? loggedColumns(table) : byPosition(table.columns);
  return [
    ...columns.map((column) => ({ name: physicalName(column), type: columnType(column).clickhouse(column) })),
    ...(isLog(table) ? LOG_COLUMNS : []),
  ];
}

/**
 * Compares a table that is there with what the source needs. A wider type holds all values too; a narrower integer wraps and a
 * smaller scale cuts digits off, both without an error. Its order and its partitions are free.
 */
export function findAppendMisfits(
  table: Pick<TargetTable, 'columns' | 'shapes' | 'target' | 'engine'>,
  object: SinkObject,
  columns: readonly SinkColumn[],
): readonly Misfit[] {
  const misfits: Misfit[] = engineMisfits(object.engine);
  const alter = (change: string): string => alterTable(table, change);
  const existing = new Map(columns.map((column) => [column.name, column]));
  const wanted = appendColumns(table);
  for (const { name, type } of wanted) {
    const column = existing.get(name);
    const named = quoteCh(name);
    if (column === undefined)
      misfits.push({ what: `column "${name}" ${type} is missing`, sql: alter(`add column ${named} ${type}`) });
    else if (!holds(column.type, type))
      misfits.push({
        what: `column "${name}" is ${column.type}, not ${type}`,
        ...(isInKey(column) ? {} : { sql: alter(`modify column ${named} ${type}`) }),
      });
    else if (column.defaultKind !== '' && column.defaultKind !== 'DEFAULT')
      misfits.push({
        what: `column "${name}" is ${column.defaultKind}, and takes no values`,
        sql: alter(`modify column ${named} remove ${column.defaultKind.toLowerCase()}`),
      });
  }
  // A column that was dropped in PostgreSQL stays here.
  const known = new Set([...wanted.map(({ name }) => name), ...physicalNames(table)]);
  for (const column of columns)
    if (!known.has(column.name) && !FILLED_KINDS.has(column.defaultKind)) misfits.push(extraColumn(table, column));
  return misfits;
}

function engineMisfits(engine: string): Misfit[] {
  if (engine === 'MergeTree') return [];
  if (/^(?:Replicated|Shared)MergeTree$/u.test(engine))
    return [
      {
        what: `its engine is ${engine}: other servers insert into it too, and a late insert on one of them cannot be stopped from here`,
      },
    ];
  if (engine.endsWith('MergeTree')) return [{ what: `its engine is ${engine}, which merges rows into others` }];
  return [{ what: `its engine is ${engine || 'unknown'}, not MergeTree` }];
}
