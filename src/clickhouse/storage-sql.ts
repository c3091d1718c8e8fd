import { quoteCh } from '../domain/identifier.js';
import { isLog, SEQ_COLUMN } from '../domain/log-columns.js';
import { physicalKey, type TargetTable } from '../domain/replicated-table.js';
import { engineOf } from '../domain/route.js';
import { splitList, type TargetLayout } from '../domain/target-layout.js';

export type StoredTable = Pick<TargetTable, 'columns' | 'key' | 'engine' | 'layout'>;

const ENGINES = {
  replacing: 'ReplacingMergeTree(_version, _deleted)',
  'merge-tree': 'MergeTree',
  log: 'MergeTree',
} as const;

/** ` on cluster ..` for the statements that make, replace and drop objects. ALTERs and mutations replicate by themselves. */
export function onCluster({ layout }: Pick<TargetTable, 'layout'>): string {
  return layout?.cluster === undefined ? '' : ` on cluster ${quoteCh(layout.cluster)}`;
}

/** The path in Keeper is the server's default, which has the UUID of the table in it. */
export function replicated({ layout }: Pick<TargetTable, 'layout'>): string {
  return layout?.cluster === undefined ? '' : 'Replicated';
}

/** What follows the columns of a target that is made: its engine, partitions, order and TTL. */
export function storageSql(table: StoredTable): string {
  const engine = engineOf(table);
  const order = [...physicalKey(table), ...(isLog(table) ? [SEQ_COLUMN] : [])];
  const { orderBy = order.map(quoteCh).join(', '), ...layout } = table.layout ?? {};
  return `engine = ${replicated(table)}${ENGINES[engine]}\n${clausesSql({ ...layout, orderBy }, { tombstones: engine === 'replacing' })}`;
}

/**
 * Each expression stands in parentheses, on lines of its own: it can end neither them nor the statement by a comment.
 * @param tombstones a TTL leaves them: one that is gone does not hide the row below it any more
 */
export function clausesSql(
  { orderBy, partitionBy, ttl }: TargetLayout,
  { tombstones }: { readonly tombstones: boolean },
): string {
  return [
    ...(partitionBy === undefined ? [] : [/* sql */ `partition by (${partitionBy}\n)`]),
    /* sql */ `order by ${orderBy === undefined ? 'tuple()' : `(${orderBy}\n)`}`,
    ...(ttl === undefined ? [] : [/* sql */ `ttl (${ttl}\n)${tombstones ? ' delete where _deleted = 0' : ''}`]),
  ].join('\n');
}

const KEYWORDS = / (PARTITION BY|PRIMARY KEY|ORDER BY|SAMPLE BY|TTL|SETTINGS) /u;

/** The clauses of `system.tables.engine_full`, or of a statement that ClickHouse has formatted, by their first words. */
export function clausesIn(engineFull: string): ReadonlyMap<string, string> {
  const [, ...parts] = engineFull.split(KEYWORDS);
  const clauses = new Map<string, string>();
  for (let index = 0; index < parts.length; index += 2) clauses.set(parts[index] ?? '', parts[index + 1] ?? '');
  return clauses;
}

/** The items of a TTL that delete rows, or put others in their place; one that moves rows, or compresses them, does not. */
export function deletionsIn(engineFull: string): readonly string[] {
  return splitList(clausesIn(engineFull).get('TTL') ?? '').filter(
    (item) => !/ (?:TO DISK|TO VOLUME|RECOMPRESS) /u.test(item),
  );
}

export function deletesByTtl(engineFull: string): boolean {
  return deletionsIn(engineFull).length > 0;
}
