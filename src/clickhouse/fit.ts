import { comparable } from '../domain/clickhouse-type.js';
import { DELETED_COLUMN, targetColumns, VERSION_COLUMN } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalKey, type TargetTable } from '../domain/replicated-table.js';
import { physicalNames } from '../domain/shape.js';
import type { SinkColumn, SinkObject } from './catalog.js';
import { missingKey, splitList, type LayoutClause } from '../domain/target-layout.js';
import { alterTable, extraColumn, type Misfit } from './misfit.js';
import { clausesIn, deletionsIn } from './storage-sql.js';

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
        ...(OWN_COLUMNS.has(name) || isInKey(column) ? {} : { sql: alter(`modify column ${named} ${type}`) }),
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
    if (key.includes(column.name)) continue;
    // Rows of one key in two partitions are never merged, and a tombstone has no values to find the right one by.
    if (column.inPartitionKey)
      misfits.push({ what: `it is partitioned by column "${column.name}", which is not in the key` });
    if (column.inSortingKey)
      misfits.push({
        what: `it is ordered by column "${column.name}", which is not in the key, and deletions know the key alone`,
      });
  }
  const missing = missingKey(object.sortingKey, key).map((name) => `"${name}"`);
  if (missing.length > 0)
    misfits.push({
      what: `it is ordered by ${object.sortingKey || 'nothing'}, without the key column ${missing.join(', ')}`,
    });
  return [...misfits, ...forgetfulness(table, object)];
}

/** A tombstone that goes before the row below it lets that come back. */
function forgetfulness(table: Pick<TargetTable, 'target'>, { engineFull }: SinkObject): readonly Misfit[] {
  const clauses = clausesIn(engineFull);
  const takesTombstones = deletionsIn(engineFull).some((item) => !KEEPS_TOMBSTONES.test(item));
  const [, setting] = CLEANUP.exec(clauses.get('SETTINGS') ?? '') ?? [];
  return [
    ...(takesTombstones ? [{ what: 'its TTL takes tombstones away too: add "where _deleted = 0"' }] : []),
    ...(setting === undefined
      ? []
      : [
          {
            what: `its setting ${setting} takes tombstones away`,
            sql: alterTable(table, `reset setting ${setting}`),
          },
        ]),
  ];
}

const KEEPS_TOMBSTONES = /WHERE \(?_deleted = 0\)?(?: AND .*)?$/su;
const CLEANUP = /\b(enable_replacing_merge_with_cleanup_for_min_age_to_force_merge) = (?:1|true)\b/u;

/**
 * In what a table that is there differs from the layout that was asked for.
 * @param has `system.tables.engine_full` @param wanted a statement that ClickHouse has formatted
 */
export function findOtherLayout(
  table: Pick<TargetTable, 'target' | 'layout'>,
  has: string,
  wanted: string,
): readonly Misfit[] {
  const [existing, asked] = [clausesIn(has), clausesIn(wanted)];
  const asks = (clause: LayoutClause): boolean => table.layout?.[clause] !== undefined;
  return [
    ...differing('orderBy', 'ORDER BY', 'ordered by'),
    ...differing('partitionBy', 'PARTITION BY', 'partitioned by'),
    ...differing('ttl', 'TTL', 'cleared by the TTL').map((misfit) => ({
      ...misfit,
      sql: alterTable(table, `modify ttl ${asked.get('TTL') ?? ''}`),
    })),
  ];

  function differing(clause: LayoutClause, keyword: string, verb: string): readonly Misfit[] {
    if (!asks(clause)) return [];
    const [is, be] = [existing, asked].map((clauses) => splitList(clauses.get(keyword) ?? '').join(', '));
    return is === be ? [] : [{ what: `it is ${verb} ${is || 'nothing'}, not by ${be}` }];
  }
}

/** What a table is ordered or partitioned by: ClickHouse refuses to change it. */
export function isInKey({ inPartitionKey, inSortingKey }: SinkColumn): boolean {
  return inPartitionKey || inSortingKey;
}

/** What the engine compares: ClickHouse refuses to change it too. */
const OWN_COLUMNS = new Set([VERSION_COLUMN, DELETED_COLUMN]);
