import type { OutboxBatch } from '../../domain/batch.js';
import { byPosition, columnType } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import { takesNull, type Column, type ReplicatedTable } from '../../domain/replicated-table.js';
import { versionSql } from '../../domain/version.js';
import { keyColumn, outboxTable, ownRows } from './names.js';

export type DrainedTable = Pick<ReplicatedTable, 'id' | 'name' | 'columns' | 'where' | 'shape' | 'key' | 'generation'> &
  Partial<Pick<ReplicatedTable, 'route'>>;

export interface KeysOptions {
  /** Whether the outbox has a column `loose`: see `outboxTableSql`. */
  readonly hasLoose: boolean;
  /** Whether its marks come along, one line for all of a kind. */
  readonly marks: boolean;
}

/** The events of a batch, as `from` and `where` of a statement. A retry finds the same ones: they go when the batch is confirmed. */
export function eventsSql(id: string, { first, last, snapshot }: OutboxBatch): string {
  return /* sql */ `from ${outboxTable(id)} event
        where event.seq between ${bigint(first)} and ${bigint(last)}
          and pg_visible_in_snapshot(event.xid, ${literal(snapshot)}::pg_snapshot)`;
}

/**
 * The keys of a batch (grouped by the text that we send, not by `=`), in the order of their highest `seq`, as a `from`: `batch` has the
 * columns `seq` (the highest of the key: its version), `events` (how many outbox rows stand for it), those of the key and, where
 * wanted, `mark`.
 *
 * All aliases are qualified wherever they are used, so no name of the user's can mean something else.
 */
export function keysSql(table: DrainedTable, batch: OutboxBatch, options: KeysOptions): string {
  const key = keyOf(table);
  const [column, isKey] = options.marks ? ['event.mark, ', ''] : ['', ' and event.mark is null'];
  return /* sql */ `from (
      select ${column}max(event.seq) as seq, count(*) as events, ${key.map(groupedKey).join(', ')}
      from (
        select ${column}event.seq, ${key.map((_, index) => eventKey(table.id, index, options)).join(', ')}
        ${eventsSql(table.id, batch)}${isKey}
      ) event
      group by ${column}${key.map((each, index) => columnType(each).image(`event.${keyColumn(index)}`)).join(', ')}
      order by max(event.seq)
    ) batch`;
}

/** The keys of a batch joined to their rows: `source` is the row as the table has it now, or NULLs. */
export function joinedKeysSql(table: DrainedTable, batch: OutboxBatch, options: KeysOptions): string {
  return /* sql */ `${keysSql(table, batch, options)}
    ${joinSql(table, options.marks ? 'batch.mark is null and ' : '')}`;
}

/** Joins its rows, as `source`, to the keys in `batch`, so that a row outside of its filter is gone: by `=`, which the unique index answers, and by image, where `=` says less. */
export function joinSql(
  table: Pick<DrainedTable, 'name' | 'columns' | 'where' | 'key' | 'route'>,
  condition = '',
): string {
  return `left join ${ownRows(table)} source on ${condition}${keyOf(table).map(sameKey).join(' and ')}`;
}

/** In the order of the index that guarantees them. */
export function keyOf({ columns, key }: Pick<DrainedTable, 'columns' | 'key'>): Column[] {
  return key.map((name) => columnNamed(columns, name));
}

/** Whether the row of a key is gone. */
export function isGoneSql([first]: readonly Column[]): string {
  return `source.${quotePg(first?.name ?? '')} is null`;
}

/**
 * With the shape that is read, which may be a later one than that of the batch's name: its rows win over those that an earlier attempt
 * has sent of the batch.
 */
export function batchVersionSql({ shape }: Pick<DrainedTable, 'shape'>, { generation }: OutboxBatch): string {
  return versionSql(generation, 'batch.seq', shape);
}

/** The columns of `targetColumns`, as COPY text: of a row, or of a tombstone, which has its key, and of the others what ClickHouse takes. */
export function rowTextSql(table: Pick<DrainedTable, 'columns' | 'key'>, version: string): string {
  const key = keyOf(table);
  const values = byPosition(table.columns).map((column) => {
    const type = columnType(column);
    const place = key.indexOf(column);
    if (place >= 0) return type.copy(`batch.${keyColumn(place)}`);
    const value = type.copy(`source.${quotePg(column.name)}`);
    return takesNull(column) ? value : `coalesce(${value}, ${type.absent})`;
  });
  return [...values, version, `case when ${isGoneSql(key)} then 1 else 0 end`].join(', ');
}

/** @throws RangeError: the name of a batch is text of the ledger's, and here it becomes SQL */
function bigint(text: string): bigint {
  if (!/^\d+$/u.test(text)) throw new RangeError(`a batch is bounded by whole numbers, not by ${text}`);
  return BigInt(text);
}

function columnNamed(columns: readonly Column[], name: string): Column {
  const column = columns.find((candidate) => candidate.name === name);
  if (column === undefined) throw new TypeError(`key column ${name} is not a column of the table`);
  return column;
}

/**
 * A text image becomes a value by the input function of the key's type, like JSON: a cast could be a function of anybody's.
 * What does not fit the type fails the statement.
 */
function eventKey(id: string, index: number, { hasLoose }: KeysOptions): string {
  const name = keyColumn(index);
  if (!hasLoose) return `event.${name}`;
  const image = `jsonb_build_object('${name}', event.loose[${index + 1}])`;
  return `coalesce(event.${name}, (jsonb_populate_record(null::${outboxTable(id)}, ${image})).${name}) as ${name}`;
}

/**
 * Where values are grouped by something else than themselves, any of a group does: they are all the same bytes. `min`, not
 * the grouped expression, because it keeps the collation under which the index of the table is looked up.
 */
export function groupedKey(column: Column, index: number): string {
  const name = keyColumn(index);
  const plain = `event.${name}`;
  const { image, textImage } = columnType(column);
  if (image(plain) === plain) return plain;
  // Not every type has a `min` that the search path finds.
  return textImage === true ? `(array_agg(${plain}))[1] as ${name}` : `min(${plain}) as ${name}`;
}

function sameKey(column: Column, index: number): string {
  const { image, equals = '=' } = columnType(column);
  const ours = `batch.${keyColumn(index)}`;
  const theirs = `source.${quotePg(column.name)}`;
  const equal = `${theirs} ${equals} ${ours}`;
  return image(ours) === ours ? equal : `${equal} and ${image(theirs)} = ${image(ours)}`;
}
