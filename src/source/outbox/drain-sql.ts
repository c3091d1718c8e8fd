import type { OutboxBatch } from '../../domain/batch.js';
import { byPosition, DELETED_COLUMN, knownType, VERSION_COLUMN } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import type { Column, ReplicatedTable } from '../../domain/replicated-table.js';
import { versionSql } from '../../domain/version.js';
import type { RowContent } from '../../pipeline/row-batch.js';
import { keyColumn, outboxTable, qualified } from './names.js';

export interface DrainOptions extends RowContent {
  /** Whether the outbox has a column `loose`: see `outboxTableSql`. */
  readonly hasLoose: boolean;
}

export type DrainedTable = Pick<ReplicatedTable, 'id' | 'name' | 'columns' | 'key' | 'generation'>;

/** In the place of a key that nobody needs. */
const NO_KEY = '-';
/** The most arguments of `concat` are 100. */
const MOST_ARGUMENTS = 90;

/**
 * The one statement of the drain. One line for each key of the batch (grouped by the text that we send, not by `=`) and
 * one for all its marks of a kind, in the order of their highest `seq`. Its fields are ended by TABs:
 *
 * | field | |
 * |---|---|
 * | seq | the highest of the key: its version |
 * | events | how many outbox rows the line stands for |
 * | head | compact JSON array of the key; `-` where no key is wanted; the JSON of a TRUNCATE mark; empty for a mark `x` |
 * | row | `json`: the row as the table has it now, or its tombstone. `text`: the columns of either |
 *
 * All aliases are qualified wherever they are used, so no name of the user's can mean something else.
 */
export function drainSql(table: DrainedTable, batch: OutboxBatch, options: DrainOptions): string {
  const key = table.key.map((name) => columnNamed(table.columns, name));
  const version = versionSql(batch.generation, 'batch.seq', batch.shape ?? 1);
  const isGone = `source.${quotePg(key[0]?.name ?? '')} is null`;
  const row =
    options.rows === 'json'
      ? [
          `case when batch.mark is null then case when ${isGone} then ${tombstoneJson(key, version)} else ${rowJson(table.columns, version)} end else '' end`,
        ]
      : [...rowText(table, key), version, `case when ${isGone} then 1 else 0 end`];
  const head = options.key ? `coalesce(${keyJson(key)}, '')` : `'${NO_KEY}'`;
  return /* sql */ `copy (
    select batch.seq, batch.events,
      case when batch.mark is null then ${head} when batch.mark = 't' then ${markJson(version)} else '' end,
      ${row.join(', ')}
    from (
      select event.mark, max(event.seq) as seq, count(*) as events, ${key.map(groupedKey).join(', ')}
      from (
        select event.mark, event.seq, ${key.map((_, index) => eventKey(table.id, index, options)).join(', ')}
        from ${outboxTable(table.id)} event
        where event.seq between ${bigint(batch.first)} and ${bigint(batch.last)}
          and pg_visible_in_snapshot(event.xid, ${literal(batch.snapshot)}::pg_snapshot)
      ) event
      group by event.mark, ${key.map((column, index) => knownType(column).image(`event.${keyColumn(index)}`)).join(', ')}
      order by max(event.seq)
    ) batch
    left join only ${qualified(table.name)} source on batch.mark is null and ${key.map(sameKey).join(' and ')}
  ) to stdout`;
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
function eventKey(id: string, index: number, { hasLoose }: DrainOptions): string {
  const name = keyColumn(index);
  if (!hasLoose) return `event.${name}`;
  const image = `jsonb_build_object('${name}', event.loose[${index + 1}])`;
  return `coalesce(event.${name}, (jsonb_populate_record(null::${outboxTable(id)}, ${image})).${name}) as ${name}`;
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

/** The JSON of a row of `source`, with its version. Put together from texts: `row_to_json` looks up the names and types of the columns for each row. */
export function rowJson(columns: readonly Column[], version: string): string {
  // Constants and expressions in turn: what is constant between two values is one text.
  const pieces: string[] = [];
  let constant = '{';
  for (const [index, column] of byPosition(columns).entries()) {
    const { json, jsonText } = knownType(column);
    const value = `source.${quotePg(column.name)}`;
    constant += `${index === 0 ? '' : ','}${JSON.stringify(column.name)}:`;
    const isQuoted = jsonText !== undefined && !column.nullable;
    if (isQuoted) pieces.push(literal(`${constant}"`), jsonText(value));
    else pieces.push(literal(constant), column.nullable ? `coalesce(${json(value)}, 'null')` : json(value));
    constant = isQuoted ? '"' : '';
  }
  return concat([...pieces, literal(`${constant},"${VERSION_COLUMN}":"`), version, `'","${DELETED_COLUMN}":0}'`]);
}

function concat(pieces: readonly string[]): string {
  if (pieces.length <= MOST_ARGUMENTS) return `concat(${pieces.join(', ')})`;
  const parts: string[] = [];
  for (let at = 0; at < pieces.length; at += MOST_ARGUMENTS) parts.push(concat(pieces.slice(at, at + MOST_ARGUMENTS)));
  return concat(parts);
}

/** The columns of a row, or of a tombstone: its key, and of the others what ClickHouse takes. */
function rowText(table: DrainedTable, key: readonly Column[]): string[] {
  return byPosition(table.columns).map((column) => {
    const type = knownType(column);
    const place = key.indexOf(column);
    if (place >= 0) return type.copy(`batch.${keyColumn(place)}`);
    const value = type.copy(`source.${quotePg(column.name)}`);
    return column.nullable ? value : `coalesce(${value}, ${type.absent})`;
  });
}

function keyJson(key: readonly Column[]): string {
  const values = key.map((column, index) => knownType(column).json(`batch.${keyColumn(index)}`));
  return `'[' || ${values.join(` || ',' || `)} || ']'`;
}

/** Key columns only: the others have no value, and ClickHouse fills in its defaults. */
function tombstoneJson(key: readonly Column[], version: string): string {
  const values = key.map(
    (column, index) =>
      `${literal(`${JSON.stringify(column.name)}:`)} || ${knownType(column).json(`batch.${keyColumn(index)}`)}`,
  );
  return `'{' || ${values.join(` || ',' || `)} || ',"${VERSION_COLUMN}":"' || ${version} || '","${DELETED_COLUMN}":1}'`;
}

function markJson(version: string): string {
  return `'{"${VERSION_COLUMN}":"' || ${version} || '"}'`;
}
