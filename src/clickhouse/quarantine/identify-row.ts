import { createHash } from 'node:crypto';
import { columnType, DELETED_COLUMN, VERSION_COLUMN } from '../../domain/column-type.js';
import type { RefusedRow, RowOrigin } from '../../domain/quarantine.js';
import type { TargetTable } from '../../domain/replicated-table.js';
import { majorOf } from '../../domain/version.js';
import { fieldsOf, type Fields } from './line-fields.js';
import { keyNames, type LineFormat, type Refusal } from './probe.js';

/** A line that was refused, and what it says of itself. */
export type IdentifiedRow = Pick<RefusedRow, 'key' | 'version' | 'isTombstone' | 'column' | 'code'>;

export function identifyRow(
  table: Pick<TargetTable, 'columns' | 'key'>,
  lineFormat: LineFormat,
  line: Uint8Array,
  { column, code }: Refusal,
): IdentifiedRow {
  const fields = fieldsOf(line, lineFormat);
  const version = fields?.get(VERSION_COLUMN) ?? null;
  return {
    key: keyOf(table, lineFormat, fields),
    version: version !== null && /^\d{1,39}$/u.test(version) ? version : null,
    isTombstone: fields?.get(DELETED_COLUMN) === '1',
    column: column ?? null,
    code,
  };
}

/** Of a row that has no message: a position and a key are one row, also when it is read again. */
export function originOf({ key, version }: IdentifiedRow, line: Uint8Array): RowOrigin {
  const hash = createHash('sha256').update(key ?? line);
  const row = hash.digest('base64url').slice(0, 22);
  return { position: version === null ? null : String(majorOf(BigInt(version))), row };
}

/** JSON and COPY text name the values of a boolean differently. */
const BOOLEANS: Readonly<Record<string, string>> = { t: 'true', f: 'false' };

/** What `Outside.mark` prints, in JSON and as COPY text. */
const MARKS: readonly string[] = ['infinity', 'NaN'];

/** @returns null where a column of the key is missing, or holds a mark: then many keys would look like one */
export function keyOf(
  table: Pick<TargetTable, 'columns' | 'key'>,
  format: Pick<LineFormat, 'shape'>,
  fields: Fields | undefined,
): string | null {
  const texts: string[] = [];
  for (const [index, name] of keyNames(table, format).entries()) {
    const text = fields?.get(name);
    if (text === undefined || text === null) return null;
    const column = table.columns.find((each) => each.name === table.key[index]);
    if (MARKS.includes(text) && column !== undefined && columnType(column).outside !== undefined) return null;
    const isBoolean = column?.type === 'boolean';
    texts.push(isBoolean ? (BOOLEANS[text] ?? text) : text);
  }
  return texts.length === 0 ? null : JSON.stringify(texts);
}
