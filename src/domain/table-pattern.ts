import { Failure } from '../failure/failure.js';
import type { TableName } from './table-name.js';

/** What an argument of a command stands for: one table, or all whose names fit. */
export interface TablePattern {
  /** As it was written. */
  readonly text: string;
  /** The one table that is meant; undefined where it has wildcards. */
  readonly name: TableName | undefined;
  matches(name: TableName): boolean;
}

interface Part {
  /** Without quotes, folded. */
  text: string;
  /** Source of a regular expression. */
  source: string;
  isWild: boolean;
  isEmpty: boolean;
}

const WILDCARDS: Readonly<Record<string, string>> = { '*': '.*', '?': '.' };
const DEFAULT_SCHEMA = 'public';

/**
 * Reads `shop.*`, `order_?`, `"My Shop".*`: `*` stands for any characters and `?` for one, outside of double quotes. What is inside
 * them is literal. Outside of them names are folded as PostgreSQL folds them: A to Z, and no other letter. Without a schema it is
 * `public`.
 * @throws Failure `Misconfigured`
 */
export function parseTablePattern(text: string): TablePattern {
  const parts = splitParts(text.trim());
  const [first, second] = parts;
  if (first === undefined || parts.length > 2 || parts.some(({ isEmpty }) => isEmpty)) throw notAPattern(text);
  const [schema, table] = second === undefined ? [undefined, first] : [first, second];
  const fits = {
    schema: schema === undefined ? new RegExp(`^${DEFAULT_SCHEMA}$`, 'u') : expressionOf(schema),
    table: expressionOf(table),
  };
  const isWild = parts.some((part) => part.isWild);
  return {
    text,
    name: isWild ? undefined : { schema: schema?.text ?? DEFAULT_SCHEMA, table: table.text },
    matches: (name) => fits.schema.test(name.schema) && fits.table.test(name.table),
  };
}

/** Whether an argument stands for more than one table: `*` and `?` outside of double quotes. */
export function hasWildcards(text: string): boolean {
  return /[*?]/u.test(text.replaceAll(/"(?:[^"]|"")*"/gu, ''));
}

/** @throws Failure `Misconfigured` for a quote that is not closed, or a blank outside of quotes */
function splitParts(text: string): readonly Part[] {
  const parts: Part[] = [emptyPart()];
  let isQuoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    const part = parts.at(-1) ?? emptyPart();
    if (character === '"') {
      const isDoubled = isQuoted && text.charAt(at + 1) === '"';
      if (isDoubled) at += 1;
      else isQuoted = !isQuoted;
      if (isDoubled) append(part, '"');
    } else if (isQuoted) append(part, character);
    else if (character === '.') parts.push(emptyPart());
    else if (/\s/u.test(character)) throw notAPattern(text);
    else if (WILDCARDS[character] === undefined) append(part, foldIdentifier(character));
    else Object.assign(part, { source: part.source + WILDCARDS[character], isWild: true, isEmpty: false });
  }
  if (isQuoted) throw notAPattern(text);
  return parts;
}

function emptyPart(): Part {
  return { text: '', source: '', isWild: false, isEmpty: true };
}

function append(part: Part, character: string): void {
  part.text += character;
  part.source += character.replaceAll(/[\\^$.*+?()[\]{}|/]/gu, String.raw`\$&`);
  part.isEmpty = false;
}

/** PostgreSQL leaves other letters than A to Z as they are, in every encoding of several bytes. */
function foldIdentifier(text: string): string {
  return text.replaceAll(/[A-Z]/gu, (letter) => letter.toLowerCase());
}

function expressionOf({ source }: Part): RegExp {
  return new RegExp(`^${source}$`, 'su');
}

function notAPattern(text: string): Failure {
  return new Failure('Misconfigured', {
    message: `"${text}" is neither a table name nor a pattern: write table, schema.table, 'schema.*' or '"Schema".*'.`,
  });
}
