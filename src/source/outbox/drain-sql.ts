import type { OutboxBatch } from '../../domain/batch.js';
import { byPosition, DELETED_COLUMN, columnType, VERSION_COLUMN } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import { shownName, takesNull, type Column } from '../../domain/replicated-table.js';
import type { RowContent } from '../../pipeline/row-batch.js';
import {
  batchVersionSql,
  isGoneSql,
  joinedKeysSql,
  keyOf,
  keysSql,
  rowTextSql,
  type DrainedTable,
} from './drain-keys.js';
import { keyColumn } from './names.js';

export interface DrainOptions extends RowContent {
  /** Whether the outbox has a column `loose`: see `outboxTableSql`. */
  readonly hasLoose: boolean;
}

/** In the place of a key that nobody needs. */
const NO_KEY = '-';
/** The most arguments of `concat` are 100. */
const MOST_ARGUMENTS = 90;

/**
 * The statement of the drain to a topic. One line for each key of the batch and one for all its marks of a kind, in the order of
 * their highest `seq`. Its fields are ended by TABs:
 *
 * | field | |
 * |---|---|
 * | seq | the highest of the key: its version |
 * | events | how many outbox rows the line stands for |
 * | head | compact JSON array of the key; `-` where no key is wanted; the JSON of a TRUNCATE mark; empty for a mark `x` |
 * | row | `json`: the row as the table has it now, or its tombstone. `text`: the columns of either. `keys`: the key and the version |
 *
 * With `keys` the table is not read.
 */
export function drainSql(table: DrainedTable, batch: OutboxBatch, options: DrainOptions): string {
  const key = keyOf(table);
  const version = batchVersionSql(table, batch);
  const isGone = isGoneSql(key);
  const row = {
    json: () =>
      `case when batch.mark is null then case when ${isGone} then ${tombstoneJson(key, version)} else ${rowJson(table.columns, version)} end else '' end`,
    text: () => rowTextSql(table, version),
    keys: () => `case when batch.mark is null then ${keysJson(key, version, 'exactJson')} || '}' else '' end`,
  }[options.rows]();
  const from = options.rows === 'keys' ? keysSql : joinedKeysSql;
  const head = options.key ? `coalesce(${keyJson(key)}, '')` : `'${NO_KEY}'`;
  return /* sql */ `copy (
    select batch.seq, batch.events,
      case when batch.mark is null then ${head} when batch.mark = 't' then ${markJson(version)} else '' end,
      ${row}
    ${from(table, batch, { hasLoose: options.hasLoose, marks: true })}
  ) to stdout`;
}

/** The JSON of a row of `source`, with its version. Put together from texts: `row_to_json` looks up the names and types of the columns for each row. */
export function rowJson(columns: readonly Column[], version: string): string {
  // Constants and expressions in turn: what is constant between two values is one text.
  const pieces: string[] = [];
  let constant = '{';
  for (const [index, column] of byPosition(columns).entries()) {
    const { json, jsonText } = columnType(column);
    const value = `source.${quotePg(column.name)}`;
    constant += `${index === 0 ? '' : ','}${JSON.stringify(shownName(column))}:`;
    const isQuoted = jsonText !== undefined && !takesNull(column);
    if (isQuoted) pieces.push(literal(`${constant}"`), jsonText(value));
    else pieces.push(literal(constant), takesNull(column) ? `coalesce(${json(value)}, 'null')` : json(value));
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

function keyJson(key: readonly Column[]): string {
  const values = key.map((column, index) => columnType(column).exactJson(`batch.${keyColumn(index)}`));
  return `'[' || ${values.join(` || ',' || `)} || ']'`;
}

/** Key columns only: the others have no value, and ClickHouse fills in its defaults. */
function tombstoneJson(key: readonly Column[], version: string): string {
  return `${keysJson(key, version, 'json')} || ',"${DELETED_COLUMN}":1}'`;
}

/**
 * The beginning of an object: key and version.
 * @param form `exactJson` where PostgreSQL reads the key again; `json` for ClickHouse, which refuses a value without a place
 */
function keysJson(key: readonly Column[], version: string, form: 'json' | 'exactJson'): string {
  const values = key.map(
    (column, index) =>
      `${literal(`${JSON.stringify(shownName(column))}:`)} || ${columnType(column)[form](`batch.${keyColumn(index)}`)}`,
  );
  return `'{' || ${values.join(` || ',' || `)} || ',"${VERSION_COLUMN}":"' || ${version} || '"'`;
}

function markJson(version: string): string {
  return `'{"${VERSION_COLUMN}":"' || ${version} || '"}'`;
}
