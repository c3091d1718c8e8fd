import { byPosition, columnType } from '../../domain/column-type.js';
import { quoteCh } from '../../domain/identifier.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import type { SinkColumn, SinkObject } from '../catalog.js';
import { comparable, FILLED_KINDS, isInKey } from '../fit.js';
import { alterTable, extraColumn, type Misfit } from '../misfit.js';

/** The columns of the target: those of the source, and no others. */
export function appendColumns(table: Pick<TargetTable, 'columns'>): { name: string; type: string }[] {
  return byPosition(table.columns).map((column) => ({
    name: column.name,
    type: columnType(column).clickhouse(column),
  }));
}

/**
 * Compares a table that is there with what the source needs. A wider type holds all values too; a narrower integer wraps and a
 * smaller scale cuts digits off, both without an error. Its order and its partitions are free.
 */
export function findAppendMisfits(
  table: Pick<TargetTable, 'columns' | 'target'>,
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
    else if (!takes(comparable(column.type), comparable(type)))
      misfits.push({
        what: `column "${name}" is ${column.type}, not ${type}`,
        ...(isInKey(object, column) ? {} : { sql: alter(`modify column ${named} ${type}`) }),
      });
    else if (column.defaultKind !== '' && column.defaultKind !== 'DEFAULT')
      misfits.push({
        what: `column "${name}" is ${column.defaultKind}, and takes no values`,
        sql: alter(`modify column ${named} remove ${column.defaultKind.toLowerCase()}`),
      });
  }
  const known = new Set(wanted.map(({ name }) => name));
  for (const column of columns)
    if (!known.has(column.name) && !FILLED_KINDS.has(column.defaultKind)) misfits.push(extraColumn(table, column));
  return misfits;
}

/** By type: those that hold every value of it, the narrowest first. */
const WIDER: readonly (readonly string[])[] = [
  ['Int8', 'Int16', 'Int32', 'Int64', 'Int128', 'Int256'],
  ['Float32', 'Float64'],
];

/** Whether a column of type `has` holds every value of type `wanted` as it is. */
function takes(has: string, wanted: string): boolean {
  const inner = /^Nullable\((.*)\)$/u;
  // A NULL for a column that takes none would be changed without an error.
  if (inner.test(wanted) && !inner.test(has)) return false;
  const [bare, needed] = [has.replace(inner, '$1'), wanted.replace(inner, '$1')];
  return (
    bare === needed || WIDER.some((types) => types.includes(needed) && types.indexOf(bare) > types.indexOf(needed))
  );
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
