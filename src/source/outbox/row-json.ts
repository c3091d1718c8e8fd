import { byPosition, columnType, DELETED_COLUMN, VERSION_COLUMN } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import { shownName, takesNull, type Column } from '../../domain/replicated-table.js';

/** The most arguments of `concat` are 100. */
const MOST_ARGUMENTS = 90;

/** The JSON of a row of `source`, with its version. */
export function rowJson(columns: readonly Column[], version: string): string {
  return fieldsJson(columns, version, {
    form: 'json',
    before: '{',
    between: `,"${VERSION_COLUMN}":"`,
    after: `","${DELETED_COLUMN}":0}`,
  });
}

/** What a row is printed as, and what stands around its fields and its version. */
export interface RowForm {
  readonly form: 'json' | 'debezium';
  readonly before: string;
  readonly between: string;
  readonly after: string;
}

/** The fields of a row of `source`, and its version. Put together from texts: `row_to_json` looks up the names and types of the columns for each row. */
export function fieldsJson(
  columns: readonly Column[],
  version: string,
  { form, before, between, after }: RowForm,
): string {
  // Constants and expressions in turn: what is constant between two values is one text.
  const pieces: string[] = [];
  let constant = before;
  for (const [index, column] of byPosition(columns).entries()) {
    const { json: plain, debezium, jsonText: plainText } = columnType(column);
    const json = form === 'debezium' && debezium !== undefined ? debezium : plain;
    const jsonText = json === plain ? plainText : undefined;
    const value = `source.${quotePg(column.name)}`;
    constant += `${index === 0 ? '' : ','}${JSON.stringify(shownName(column))}:`;
    const isQuoted = jsonText !== undefined && !takesNull(column);
    if (isQuoted) pieces.push(literal(`${constant}"`), jsonText(value));
    else pieces.push(literal(constant), takesNull(column) ? `coalesce(${json(value)}, 'null')` : json(value));
    constant = isQuoted ? '"' : '';
  }
  return concat([...pieces, literal(constant + between), version, literal(after)]);
}

/** @returns SQL of `"a":1,"b":"x"` */
export function keyFields(key: readonly Column[], json: (column: Column, index: number) => string): string {
  const fields = key.map(
    (column, index) => `${literal(`${JSON.stringify(shownName(column))}:`)} || ${json(column, index)}`,
  );
  return fields.join(` || ',' || `);
}

function concat(pieces: readonly string[]): string {
  if (pieces.length <= MOST_ARGUMENTS) return `concat(${pieces.join(', ')})`;
  const parts: string[] = [];
  for (let at = 0; at < pieces.length; at += MOST_ARGUMENTS) parts.push(concat(pieces.slice(at, at + MOST_ARGUMENTS)));
  return concat(parts);
}
