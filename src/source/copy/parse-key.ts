import { DatabaseError } from 'pg';
import type { Queryable } from '../../connect/queryable.js';
import type { KeyRange, KeyTexts } from '../../domain/chunk.js';
import { clip } from '../../domain/clip.js';
import { quotePg } from '../../domain/identifier.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import { classifyPostgres } from '../../failure/classify-postgres.js';
import { Failure } from '../../failure/failure.js';
import { readKeyOrder, type KeyColumn, type KeyOrder } from './key-order.js';
import { keyCondition } from './key-range.js';

type KeyOwner = Pick<ReplicatedTable, 'name' | 'relation' | 'columns' | 'key'>;

/** Of what was typed. */
const SHOWN_CHARACTERS = 60;

/** What a person gives for the bounds of a range; undefined for none. */
export interface GivenRange {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/**
 * The range between two keys that a person gave: from the first one, up to the second one and without it.
 * @param bytewise as in `KeyRange`
 * @returns its bounds as PostgreSQL prints them
 * @throws Failure `Misconfigured` where a bound is no key, or no key lies between them; and those of PostgreSQL
 */
export async function readKeyRange(
  pg: Queryable,
  table: KeyOwner,
  { from, to }: GivenRange,
  { bytewise = false }: Pick<KeyRange, 'bytewise'> = {},
): Promise<KeyRange> {
  const [first, after] = [from, to].map((text) => (text === undefined ? null : parseKey(table, text)));
  const order = await readKeyOrder(pg, table);
  const range: KeyRange = {
    kind: 'keys',
    from: first === null || first === undefined ? null : await readKey(pg, table, order, first),
    to: after === null || after === undefined ? null : await readKey(pg, table, order, after),
    ...(bytewise ? { bytewise } : {}),
  };
  if (range.from !== null && range.to !== null) await requireOrder(pg, table, order, range);
  return range;
}

/**
 * A key as a person gives it: the text of a key of one column as it is; a JSON array of texts and numbers, in key order, of any key.
 * @throws Failure `Misconfigured`
 */
export function parseKey({ name, key }: Pick<KeyOwner, 'name' | 'key'>, text: string): KeyTexts {
  const texts = readArray(text);
  if (texts?.length === key.length) return texts;
  if (key.length === 1) return [text];
  const example = JSON.stringify(key.map((_, index) => (index === 0 ? 'eu' : index)));
  const form = `A key of ${formatTableName(name)} is a JSON array of ${key.length} texts or numbers, for (${key.join(', ')}), and`;
  throw new Failure('Misconfigured', {
    message: `${form} "${clip(text, SHOWN_CHARACTERS)}" is none.`,
    logged: `${form} what was given is none.`,
    remedy: `Give it in this form: '${example}'.`,
  });
}

/** `JSON.parse` would round a bigint, so numbers are taken as they stand. @returns undefined for anything else */
function readArray(text: string): KeyTexts | undefined {
  try {
    const values: unknown = JSON.parse(text);
    const isScalar = (value: unknown): boolean => ['string', 'number', 'boolean'].includes(typeof value);
    if (!Array.isArray(values) || !values.every(isScalar)) return undefined;
  } catch {
    return undefined;
  }
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[^\s[\],"]+/gu) ?? [];
  return tokens.map((token) => (token.startsWith('"') ? (JSON.parse(token) as string) : token));
}

/** Reads a key as PostgreSQL does. @returns its texts as PostgreSQL prints them */
async function readKey(pg: Queryable, table: KeyOwner, order: KeyOrder, texts: KeyTexts): Promise<KeyTexts> {
  const read: string[] = [];
  for (const [index, column] of order.entries()) {
    const text = texts[index] ?? '';
    try {
      const found = await pg.query<{ text: string }>(/* sql */ `select pg_catalog.concat($1::${column.type}) as text`, [
        text,
      ]);
      read.push(found.rows[0]?.text ?? '');
    } catch (error) {
      throw explainValue(error, table, column, text);
    }
  }
  return read;
}

function explainValue(error: unknown, { name }: KeyOwner, { name: column, type }: KeyColumn, text: string): Failure {
  const title = formatTableName(name);
  // All of class 22, data exceptions: every way in which a text is no value of a type.
  const isValue = error instanceof DatabaseError && error.code?.startsWith('22') === true;
  if (!isValue) return classifyPostgres(error, `reading a key of ${title}`);
  const wants = `The key column ${column} of ${title} is of type ${shownType(type)}, and`;
  return new Failure('Misconfigured', {
    message: `${wants} "${clip(text, SHOWN_CHARACTERS)}" is no value of it.`,
    logged: `${wants} what was given is no value of it.`,
    remedy: 'Give a value as PostgreSQL prints it.',
    cause: error,
  });
}

function shownType(type: string): string {
  return type.replace(/^pg_catalog\./u, '');
}

async function requireOrder(pg: Queryable, { name }: KeyOwner, order: KeyOrder, range: KeyRange): Promise<void> {
  const { from, to } = range;
  if (from === null || to === null) return;
  const columns = order.map(({ name: column, type, collation }, index) => {
    return `$${index + 1}::${type}${collation === null ? '' : ` collate ${collation}`} as ${quotePg(column)}`;
  });
  const condition = keyCondition(order, { ...range, from: null });
  try {
    const found = await pg.query<{ before: boolean }>(
      /* sql */ `select ${condition} as before from (select ${columns.join(', ')}) as source`,
      [...from],
    );
    if (found.rows[0]?.before === true) return;
  } catch (error) {
    throw classifyPostgres(error, `comparing keys of ${formatTableName(name)}`);
  }
  const title = formatTableName(name);
  throw new Failure('Misconfigured', {
    message: `No key of ${title} lies between ${shownKey(from)} and ${shownKey(to)}: the first one does not come before the second one.`,
    logged: `No key of ${title} lies in the range: its first one does not come before its second one.`,
    remedy: 'Give the lower key as --from, and one that is above it as --to: the range ends before that.',
  });
}

function shownKey(texts: KeyTexts): string {
  const text = texts.length === 1 ? (texts[0] ?? '') : JSON.stringify(texts);
  return clip(text, SHOWN_CHARACTERS);
}
