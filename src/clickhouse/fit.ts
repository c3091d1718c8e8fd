import { targetColumns } from '../domain/column-type.js';
import type { TargetTable } from '../domain/replicated-table.js';
import type { SinkColumn, SinkObject } from './catalog.js';

/** No other engine both compares versions and hides tombstones. Cloud and replicated names included. */
const ENGINE =
  /^(?:Shared|Replicated)?ReplacingMergeTree\((?:'(?:[^'\\]|\\.)*', '(?:[^'\\]|\\.)*', )?_version, _deleted\)/u;

/** Columns that the server fills, so that an insert need not name them. */
export const FILLED_KINDS = new Set(['DEFAULT', 'MATERIALIZED', 'ALIAS']);

/**
 * Why an existing table cannot be the target of a source table, in words; empty if it fits. Types must be equal: a narrower
 * integer wraps and a smaller scale cuts digits off, both without an error.
 */
export function findMisfits(
  table: Pick<TargetTable, 'columns' | 'key'>,
  object: SinkObject,
  columns: readonly SinkColumn[],
): readonly string[] {
  const misfits: string[] = [];
  if (!ENGINE.test(object.engineFull))
    misfits.push(`its engine is ${object.engine || 'unknown'}, not ReplacingMergeTree(_version, _deleted)`);

  const existing = new Map(columns.map((column) => [column.name, column]));
  const wanted = targetColumns(table);
  for (const { name, type } of wanted) {
    const column = existing.get(name);
    if (column === undefined) misfits.push(`column "${name}" ${type} is missing`);
    else if (comparable(column.type) !== comparable(type))
      misfits.push(`column "${name}" is ${column.type}, not ${type}`);
    else if (column.defaultKind !== '' && column.defaultKind !== 'DEFAULT')
      misfits.push(`column "${name}" is ${column.defaultKind}: it takes no values`);
  }
  const known = new Set(wanted.map(({ name }) => name));
  for (const column of columns) {
    if (!known.has(column.name) && !FILLED_KINDS.has(column.defaultKind))
      misfits.push(`column "${column.name}" is not in the source and has no default`);
    // Rows of one key in two partitions are never merged, and a tombstone has no values to find the right one by.
    if (column.inPartitionKey && !table.key.includes(column.name))
      misfits.push(`it is partitioned by column "${column.name}", which is not in the key`);
  }

  const sortingKey = readIdentifiers(object.sortingKey);
  if (sortingKey === undefined || sortingKey.join('\0') !== table.key.join('\0')) {
    const wantedKey = table.key.map((name) => `"${name}"`).join(', ');
    misfits.push(`it is ordered by ${object.sortingKey || 'nothing'}, not by the key ${wantedKey}`);
  }
  // A tombstone that expires lets the row below it come back.
  if (/ TTL /u.test(object.engineFull) && !object.engineFull.includes('WHERE _deleted = 0'))
    misfits.push('its TTL takes tombstones away too: add "where _deleted = 0"');
  return misfits;
}

/** `LowCardinality` changes how a column is stored, not what it holds. */
export function comparable(type: string): string {
  return type.replace(/^LowCardinality\((.*)\)$/u, '$1').replaceAll(' ', '');
}

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
