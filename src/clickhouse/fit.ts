import { comparable } from '../domain/clickhouse-type.js';
import { DELETED_COLUMN, targetColumns, VERSION_COLUMN } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalKey, type TargetTable } from '../domain/replicated-table.js';
import { physicalNames } from '../domain/shape.js';
import type { SinkColumn, SinkObject } from './catalog.js';
import { alterTable, extraColumn, type Misfit } from './misfit.js';

/** No other engine both compares versions and hides tombstones. Cloud and replicated names included. */
const ENGINE =
  /^(?:Shared|Replicated)?ReplacingMergeTree\((?:'(?:[^'\\]|\\.)*', '(?:[^'\\]|\\.)*', )?_version, _deleted\)/u;

/** Columns that the server fills, so that an insert need not name them. */
export const FILLED_KINDS = new Set(['DEFAULT', 'MATERIALIZED', 'ALIAS']);

/**
 * Why an existing table cannot be the target of a source table; empty if it fits. Types must be equal: a narrower
 * integer wraps and a smaller scale cuts digits off, both without an error.
 */
export function findMisfits(
  table: Pick<TargetTable, 'columns' | 'shapes' | 'key' | 'target'>,
  object: SinkObject,
  columns: readonly SinkColumn[],
): readonly Misfit[] {
  const misfits: Misfit[] = [];
  const alter = (change: string): string => alterTable(table, change);
  if (!ENGINE.test(object.engineFull))
    misfits.push({ what: `its engine is ${object.engine || 'unknown'}, not ReplacingMergeTree(_version, _deleted)` });

  const existing = new Map(columns.map((column) => [column.name, column]));
  const wanted = targetColumns(table);
  for (const { name, type } of wanted) {
    const column = existing.get(name);
    const named = quoteCh(name);
    if (column === undefined)
      misfits.push({ what: `column "${name}" ${type} is missing`, sql: alter(`add column ${named} ${type}`) });
    else if (comparable(column.type) !== comparable(type))
      misfits.push({
        what: `column "${name}" is ${column.type}, not ${type}`,
        ...(OWN_COLUMNS.has(name) || isInKey(object, column) ? {} : { sql: alter(`modify column ${named} ${type}`) }),
      });
    else if (column.defaultKind !== '' && column.defaultKind !== 'DEFAULT')
      misfits.push({
        what: `column "${name}" is ${column.defaultKind}: it takes no values`,
        sql: alter(`modify column ${named} remove ${column.defaultKind.toLowerCase()}`),
      });
  }
  // A column that was dropped in PostgreSQL stays here.
  const known = new Set([...wanted.map(({ name }) => name), ...physicalNames(table)]);
  const key = physicalKey(table);
  for (const column of columns) {
    if (!known.has(column.name) && !FILLED_KINDS.has(column.defaultKind)) misfits.push(extraColumn(table, column));
    // Rows of one key in two partitions are never merged, and a tombstone has no values to find the right one by.
    if (column.inPartitionKey && !key.includes(column.name))
      misfits.push({ what: `it is partitioned by column "${column.name}", which is not in the key` });
  }

  const sortingKey = readIdentifiers(object.sortingKey);
  if (sortingKey === undefined || sortingKey.join('\0') !== key.join('\0')) {
    const wantedKey = key.map((name) => `"${name}"`).join(', ');
    misfits.push({ what: `it is ordered by ${object.sortingKey || 'nothing'}, not by the key ${wantedKey}` });
  }
  // A tombstone that expires lets the row below it come back.
  if (/ TTL /u.test(object.engineFull) && !object.engineFull.includes('WHERE _deleted = 0'))
    misfits.push({ what: 'its TTL takes tombstones away too: add "where _deleted = 0"' });
  return misfits;
}

/** What a table is ordered or partitioned by: ClickHouse refuses to change it. */
export function isInKey({ sortingKey }: SinkObject, { name, inPartitionKey }: SinkColumn): boolean {
  // An expression may hold any column.
  return inPartitionKey || (readIdentifiers(sortingKey)?.includes(name) ?? true);
}

/** What the engine compares: ClickHouse refuses to change it too. */
const OWN_COLUMNS = new Set([VERSION_COLUMN, DELETED_COLUMN]);

/**
 * Reads ``a, `my b` `` and ``(a, `my b`)``, as `system.tables.sorting_key` prints a key.
 * @returns undefined for anything but plain columns
 */
export function readIdentifiers(text: string): readonly string[] | undefined {
  const list = /^\((.*)\)$/su.exec(text)?.[1] ?? text;
  const names: string[] = [];
  const identifier = /\s*(?:`((?:[^`\\]|\\.|``)+)`|([A-Za-z_][A-Za-z0-9_]*))\s*(,|$)/suy;
  while (identifier.lastIndex < list.length) {
    const match = identifier.exec(list);
    if (match === null) return undefined;
    const [, quoted, plain, separator] = match;
    names.push(plain ?? (quoted ?? '').replaceAll('``', '`').replaceAll(/\\(.)/gsu, '$1'));
    if (separator === '') break;
  }
  return names;
}
