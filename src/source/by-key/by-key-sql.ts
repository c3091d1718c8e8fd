import { columnType, VERSION_COLUMN } from '../../domain/column-type.js';
import { quotePg } from '../../domain/identifier.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { groupedKey, joinSql, keyOf, rowTextSql } from '../outbox/drain-keys.js';
import { keyColumn } from '../outbox/names.js';

/** A setting of the transaction that holds the keys. COPY takes no parameters; keys in its text would fill `pg_stat_statements`. */
const KEYS = 'pg2click.keys';

/** Hands the keys over; its one parameter is a JSON array of objects, as text. Any role may run it. */
export const SET_KEYS = /* sql */ `select pg_catalog.set_config('${KEYS}', $1, true) is null`;

/** The types of the key columns, in key order, qualified. Their parameters are not needed: a value comes as it was printed. */
export const KEY_TYPES = /* sql */ `select pg_catalog.format_type(a.atttypid, -1) as type
  from pg_catalog.unnest($2::text[]) with ordinality wanted (name, place)
  join pg_catalog.pg_attribute a on a.attrelid = $1::pg_catalog.oid and a.attname = wanted.name and not a.attisdropped
  order by wanted.place`;

export interface ByKeyOptions {
  /** Those of `KEY_TYPES`. */
  readonly types: readonly string[];
  /** What the keys call their columns, in key order. */
  readonly names: readonly string[];
  /** The shape in the minor part of the versions of the keys: it is replaced by that of the table, whose columns are read. */
  readonly shape: number;
}

/**
 * The rows of the keys as they are now, one for each key under its highest version; a tombstone where there is none. The columns are
 * those of `targetColumns`, in their order. Keys are compared as the drain compares them: by `=`, which the index answers, and by
 * image, where `=` says less.
 *
 * Measured with 100,000 keys of a table of 10 columns: some 8 us a row. The keys take 2.5 of them as json, and 3.5 as jsonb. With COPY
 * into a temporary table, which takes a right more, it was 11 in all.
 */
export function byKeySql(
  table: Pick<ReplicatedTable, 'name' | 'columns' | 'where' | 'key' | 'shape'> &
    Partial<Pick<ReplicatedTable, 'route'>>,
  { types, names, shape }: ByKeyOptions,
): string {
  const key = keyOf(table);
  const images = key.map((column, index) => columnType(column).image(`event.${keyColumn(index)}`));
  const fields = names.map((name, index) => `${quotePg(name)} ${types[index] ?? 'text'}`);
  const delta = table.shape - shape;
  const version = `max(event.version)${delta === 0 ? '' : ` + ${delta}`}`;
  return /* sql */ `copy (
    select ${rowTextSql(table, 'batch.version')}
    from (
      select ${version} as version, ${key.map(groupedKey).join(', ')}
      from (
        select entry.${quotePg(VERSION_COLUMN)} as version,
          ${names.map((name, index) => `entry.${quotePg(name)} as ${keyColumn(index)}`).join(', ')}
        from json_to_recordset(current_setting('${KEYS}')::json)
          as entry (${[...fields, `${quotePg(VERSION_COLUMN)} numeric`].join(', ')})
      ) event
      group by ${images.join(', ')}
    ) batch
    ${joinSql(table)}
  ) to stdout`;
}
