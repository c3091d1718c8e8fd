import type { OutboxBatch } from '../../domain/batch.js';
import { byPosition, DELETED_COLUMN, knownType, VERSION_COLUMN } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import type { Column, ReplicatedTable } from '../../domain/replicated-table.js';
import { versionSql } from '../../domain/version.js';
import { keyColumn, outboxTable, qualified } from './names.js';

/**
 * The one statement of the drain. One line for each key of the batch (grouped by the text that we send, not by `=`) and
 * one for all its TRUNCATE marks, in the order of their highest `seq`:
 *
 * | field | |
 * |---|---|
 * | seq | the highest of the key: its version |
 * | events | how many outbox rows the line stands for |
 * | key | compact JSON array; empty for a mark |
 * | row | JSON of the row as the table has it now; empty where it is gone |
 * | otherwise | the tombstone of a row that is gone, or the mark; else empty |
 *
 * All aliases are qualified wherever they are used, so no name of the user's can mean something else. Whether there is a
 * row is asked of `found`: asking it of the JSON would make the JSON twice, for a quarter of the time.
 */
export function drainSql(
  table: Pick<ReplicatedTable, 'id' | 'name' | 'columns' | 'key' | 'generation'>,
  batch: OutboxBatch,
): string {
  const key = table.key.map((name) => columnNamed(table.columns, name));
  return /* sql */ `copy (
    select batch.seq, batch.events, ${keyJson(key)}, source.json,
      case when batch.mark is not null then ${markJson(batch.generation)}
           when source.found is null then ${tombstoneJson(key, batch.generation)} end
    from (
      select event.mark, max(event.seq) as seq, count(*) as events, ${key.map(groupedKey).join(', ')}
      from ${outboxTable(table.id)} event
      where event.seq between ${bigint(batch.first)} and ${bigint(batch.last)}
        and pg_visible_in_snapshot(event.xid, ${literal(batch.snapshot)}::pg_snapshot)
      group by event.mark, ${key.map((column, index) => knownType(column).image(`event.${keyColumn(index)}`)).join(', ')}
      order by max(event.seq)
    ) batch
    left join lateral (
      select true as found, row_to_json(value.*) as json from (
        select ${rowColumns(table.columns, batch.generation)}
        from only ${qualified(table.name)} source
        where ${key.map(sameKey).join(' and ')}
        limit 1
      ) value
    ) source on batch.mark is null
  ) to stdout (null '')`;
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
 * Where values are grouped by something else than themselves, any of a group does: they are all the same bytes. `min`, not
 * the grouped expression, because it keeps the collation under which the index of the table is looked up.
 */
function groupedKey(column: Column, index: number): string {
  const plain = `event.${keyColumn(index)}`;
  return knownType(column).image(plain) === plain ? plain : `min(${plain}) as ${keyColumn(index)}`;
}

/** By `=`, which the unique index answers, and by image, where `=` says less. */
function sameKey(column: Column, index: number): string {
  const { image } = knownType(column);
  const ours = `batch.${keyColumn(index)}`;
  const theirs = `source.${quotePg(column.name)}`;
  const equal = `${theirs} = ${ours}`;
  return image(ours) === ours ? equal : `${equal} and ${image(theirs)} = ${image(ours)}`;
}

function rowColumns(columns: readonly Column[], generation: number): string {
  const values = byPosition(columns).map(
    (column) => `${knownType(column).json(`source.${quotePg(column.name)}`)} as ${quotePg(column.name)}`,
  );
  return [...values, `${version(generation)}::text as ${VERSION_COLUMN}`, `0 as ${DELETED_COLUMN}`].join(', ');
}

function version(generation: number): string {
  return versionSql(generation, 'batch.seq');
}

function keyJson(key: readonly Column[]): string {
  const values = key.map((column, index) => knownType(column).keyJson(`batch.${keyColumn(index)}`));
  return `'[' || ${values.join(` || ',' || `)} || ']'`;
}

/** Key columns only: the others have no value, and ClickHouse fills in its defaults. */
function tombstoneJson(key: readonly Column[], generation: number): string {
  const values = key.map(
    (column, index) =>
      `${literal(`${JSON.stringify(column.name)}:`)} || ${knownType(column).keyJson(`batch.${keyColumn(index)}`)}`,
  );
  return `'{' || ${values.join(` || ',' || `)} || ',"${VERSION_COLUMN}":"' || ${version(generation)} || '","${DELETED_COLUMN}":1}'`;
}

function markJson(generation: number): string {
  return `'{"${VERSION_COLUMN}":"' || ${version(generation)} || '"}'`;
}
