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

/** Quotes and what is in them, or anything but quotes and the separator. */
const LISTED = /(?:"(?:[^"]|"")*"|[^",])+|,/gu;

/**
 * Reads `id, "Line No"`: names of columns as in SQL.
 * @throws Failure `Misconfigured` for anything else
 */
export function parseColumnNames(text: string): string[] {
  const parts = text.match(LISTED) ?? [];
  const names = parts.filter((part) => part !== ',').map((part) => readIdentifier(part.trim()));
  if (parts.join('') === text && names.length > 0 && parts.length === 2 * names.length - 1 && isKnown(names))
    return names;
  throw new Failure('Misconfigured', {
    message: `"${text}" are no names of columns: write a,b with double quotes for capitals: a,"B".`,
  });
}

/** A column as `parseColumnNames` reads it back. */
export function columnName(name: string): string {
  return name === fold(name) && /^[^"=,.\s]+$/u.test(name) ? name : quotePg(name);
}

function isKnown(names: readonly (string | undefined)[]): names is string[] {
  return !names.includes(undefined);
}

/** Reads `name=value`, a column as in SQL and any text. @returns undefined for anything else */
export function splitAssignment(text: string): { readonly name: string; readonly value: string } | undefined {
  const found = /^\s*(?<column>"(?:[^"]|"")+"|[^"=\s]+)\s*=\s*(?<value>.*?)\s*$/su.exec(text)?.groups;
  const name = readIdentifier(found?.['column'] ?? '');
  return name === undefined || !found?.['value'] ? undefined : { name, value: found['value'] };
}

/**
 * A name that a person chose for ClickHouse, where capitals mean themselves; quotes only for what a shell or a reader would lose.
 * @returns undefined where quotes are not closed
 */
export function readChosenName(text: string): string | undefined {
  return text.startsWith('"') ? IDENTIFIER.exec(text)?.groups?.['quoted']?.replaceAll('""', '"') : text;
}

/** A name as `readChosenName` reads it back. */
export function chosenName(name: string): string {
  return /^[^"\s]+$/u.test(name) ? name : quotePg(name);
}

export function isSameName(a: TableName, b: TableName): boolean {
  return a.schema === b.schema && a.table === b.table;
}

/** `schema.table` for people, logs and the workflow id: quotes only around a part with a dot, a quote or a blank. */
export function formatTableName(name: TableName): string {
  return `${formatPart(name.schema)}.${formatPart(name.table)}`;
}

function formatPart(part: string): string {
  return /^[^".\s]+$/u.test(part) ? part : quotePg(part);
}

/** The name as in SQL, with quotes wherever it would be folded without: `parseTableName` reads it back, letter by letter. */
export function sqlName({ schema, table }: TableName): string {
  return [schema, table].map((part) => (part === fold(part) ? formatPart(part) : quotePg(part))).join('.');
}

/** The name in an id, which `formatTableName` wrote, as `sqlName` would have it; what is no such name stays as it is. */
export function sqlNameOf(formatted: string): string {
  const parts = (formatted.match(PARTS) ?? []).filter((part) => part !== '.');
  const [schema, table] = parts.map((part) => (part.startsWith('"') ? readIdentifier(part) : part));
  const name = schema === undefined || table === undefined || parts.length !== 2 ? undefined : { schema, table };
  return name !== undefined && formatTableName(name) === formatted ? sqlName(name) : formatted;
}

/** What `sqlName` gave, as one argument in a shell. */
export function inShell(text: string): string {
  return /^[\w.]+$/u.test(text) ? text : quoteShell(text);
}

/** A word of a command that a person pastes into a shell. */
export function shellWord(text: string): string {
  return /^[\w.,:@+=-]+$/u.test(text) ? text : quoteShell(text);
}

/** A text as one argument of a shell. */
export function quoteShell(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/**
 * The name as an argument of a `pg2click` command in a shell: `parseTableName` reads it back. Capitals keep their double quotes only
 * inside single ones.
 */
export function shellName(name: TableName): string {
  return inShell(sqlName(name));
}

/** One workflow a table: two pipelines may both hold `public.orders`. */
export function workflowIdOf(pipeline: string, name: TableName): string {
  return `replicate/${pipeline}/${formatTableName(name)}`;
}

/** What `workflowIdOf` was given, the table as `formatTableName` writes it. @returns undefined for any other id */
export function readWorkflowId(id: string): { readonly pipeline: string; readonly table: string } | undefined {
  const [, pipeline, table] = /^replicate\/(?<pipeline>[^/]+)\/(?<table>.+)$/su.exec(id) ?? [];
  return pipeline === undefined || table === undefined ? undefined : { pipeline, table };
}
