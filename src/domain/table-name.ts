import { Failure } from '../failure/failure.js';
import { quotePg } from './identifier.js';

/** The name of a PostgreSQL table: two identifiers, unquoted, as the catalogue holds them (each at most 63 bytes). */
export interface TableName {
  readonly schema: string;
  readonly table: string;
}

const IDENTIFIER = /^(?:"(?<quoted>(?:[^"]|"")+)"|(?<plain>[^".\s]+))$/u;
const PARTS = /"(?:[^"]|"")*"|[^".]+|\./gu;

/**
 * Reads `orders`, `shop.orders`, `"My Shop"."Orders"`. Without a schema it is `public`. Unquoted parts are folded as PostgreSQL
 * folds them.
 * @throws Failure `Misconfigured` for anything else
 */
export function parseTableName(text: string): TableName {
  const parts = text.trim().match(PARTS) ?? [];
  const identifiers = parts.filter((part) => part !== '.').map(readIdentifier);
  const dots = parts.length - identifiers.length;
  const [first, second] = identifiers;
  if (parts.join('') === text.trim() && first !== undefined) {
    if (second === undefined && dots === 0) return { schema: 'public', table: first };
    if (second !== undefined && identifiers.length === 2 && dots === 1 && parts[1] === '.')
      return { schema: first, table: second };
  }
  throw new Failure('Misconfigured', {
    message: `"${text}" is not a table name: write table, schema.table, or "Schema"."Table" with quotes for capitals.`,
  });
}

function readIdentifier(part: string): string | undefined {
  const groups = IDENTIFIER.exec(part)?.groups;
  if (groups?.['quoted'] !== undefined) return groups['quoted'].replaceAll('""', '"');
  const plain = groups?.['plain'];
  return plain === undefined ? undefined : fold(plain);
}

/** ASCII letters become lower case, and no others: so PostgreSQL does with names in UTF-8. */
function fold(name: string): string {
  return name.replaceAll(/[A-Z]+/gu, (capitals) => capitals.toLowerCase());
}

/** `schema.table` for people, logs and the workflow id: quotes only around a part with a dot, a quote or a blank. */
export function formatTableName(name: TableName): string {
  return `${formatPart(name.schema)}.${formatPart(name.table)}`;
}

function formatPart(part: string): string {
  return /^[^".\s]+$/u.test(part) ? part : quotePg(part);
}

/**
 * The name as an argument of a `pg2click` command in a shell: `parseTableName` reads it back. Capitals keep their double quotes only
 * inside single ones.
 */
export function shellName({ schema, table }: TableName): string {
  const text = [schema, table].map((part) => (part === fold(part) ? formatPart(part) : quotePg(part))).join('.');
  return /^[\w.]+$/u.test(text) ? text : quoteShell(text);
}

/** A text as one argument of a shell. */
export function quoteShell(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** One workflow a table: two pipelines may both hold `public.orders`. */
export function workflowIdOf(pipeline: string, name: TableName): string {
  return `replicate/${pipeline}/${formatTableName(name)}`;
}
