import type { Expression, Place, Printing } from './type.js';

export const same: Expression = (column) => column;
export const asText: Expression = (column) => `${column}::text`;

/**
 * By the output function of the type, as COPY prints it. A cast may be a function of the type's owner: it could print what it
 * likes, and would run as our role; `to_json` looks for casts too. `is distinct from null`, because a row value with one
 * NULL in it `is not null` is false.
 */
export const printed: Expression = (column) => `case when ${column} is distinct from null then concat(${column}) end`;

const quoted: Expression = (column) => `'"' || ${column}::text || '"'`;
const escaped = (text: Expression): Expression => {
  return (column) => `to_json(${text(column)})::text`;
};

/** A text that JSON need not escape. */
export const inQuotes = (jsonText: Expression): Pick<Printing, 'json' | 'jsonText'> => ({
  json: (column) => quoted(jsonText(column)),
  jsonText: (column) => asText(jsonText(column)),
});

/** A number of JSON, or `true` and `false`. */
export const bare = (clickhouse: string, absent = '0'): Place => ({
  clickhouse,
  absent,
  copy: same,
  json: asText,
});

/** NaN and the infinities are texts in JSON, which `to_json` knows. */
export const float = (clickhouse: string): Place => ({
  ...bare(clickhouse),
  json: (column) => `to_json(${column})::text`,
});

/** The text of a value. @param copy what COPY prints as that text; the text itself when absent */
export const string = (text: Expression, copy = text, clickhouse = 'String'): Place => ({
  clickhouse,
  absent: `''`,
  copy,
  json: escaped(text),
});
