import type { OutboxBatch } from '../../domain/batch.js';
import { columnType, DELETED_COLUMN, VERSION_COLUMN } from '../../domain/column-type.js';
import { type Column } from '../../domain/replicated-table.js';
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
import { deletedEnvelope, keyObject, rowEnvelope } from './envelope-sql.js';
import { keyColumn } from './names.js';
import { keyFields, rowJson } from './row-json.js';

export interface DrainOptions extends RowContent {
  /** Whether the outbox has a column `loose`: see `outboxTableSql`. */
  readonly hasLoose: boolean;
}

/** In the place of a key that nobody needs. */
const NO_KEY = '-';

/**
 * The statement of the drain to a topic. One line for each key of the batch and one for all its marks of a kind, in the order of
 * their highest `seq`. Its fields are ended by TABs:
 *
 * | field | |
 * |---|---|
 * | seq | the highest of the key: its version |
 * | events | how many outbox rows the line stands for |
 * | head | compact JSON array of the key, with `envelope` an object; `-` where no key is wanted; the JSON of a TRUNCATE mark; empty for a mark `x` |
 * | row | `json`: the row as the table has it now, or its tombstone. `text`: the columns of either. `keys`: the key and the version. `envelope`: as `rowEnvelope` has it |
 *
 * With `keys` the table is not read.
 */
export function drainSql(table: DrainedTable, batch: OutboxBatch, options: DrainOptions): string {
  const key = keyOf(table);
  const version = batchVersionSql(table, batch);
  const row = {
    json: () => either(key, tombstoneJson(key, version), rowJson(table.columns, version)),
    envelope: () => either(key, deletedEnvelope(key, version), rowEnvelope(table.columns, version)),
    text: () => rowTextSql(table, version),
    keys: () => `case when batch.mark is null then ${keysJson(key, version, 'exactJson')} || '}' else '' end`,
  }[options.rows]();
  const from = options.rows === 'keys' ? keysSql : joinedKeysSql;
  const keyText = options.rows === 'envelope' ? keyObject(key, batchKey) : keyJson(key);
  const head = options.key ? `coalesce(${keyText}, '')` : `'${NO_KEY}'`;
  return /* sql */ `copy (
    select batch.seq, batch.events,
      case when batch.mark is null then ${head} when batch.mark = 't' then ${markJson(version)} else '' end,
      ${row}
    ${from(table, batch, { hasLoose: options.hasLoose, marks: true })}
  ) to stdout`;
}

function either(key: readonly Column[], gone: string, there: string): string {
  return `case when batch.mark is null then case when ${isGoneSql(key)} then ${gone} else ${there} end else '' end`;
}

function keyJson(key: readonly Column[]): string {
  const values = key.map((column, index) => columnType(column).exactJson(batchKey(column, index)));
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
  const fields = keyFields(key, (column, index) => columnType(column)[form](batchKey(column, index)));
  return `'{' || ${fields} || ',"${VERSION_COLUMN}":"' || ${version} || '"'`;
}

function markJson(version: string): string {
  return `'{"${VERSION_COLUMN}":"' || ${version} || '"}'`;
}

function batchKey(_: Column, index: number): string {
  return `batch.${keyColumn(index)}`;
}
