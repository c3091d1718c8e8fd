import type { KeyRange, KeyTexts } from '../../domain/chunk.js';
import { literal, quotePg } from '../../domain/identifier.js';
import type { KeyColumn, KeyOrder, Operators } from './key-order.js';

/** The operators of PostgreSQL's own types. */
const OWN: Operators = {
  less: 'operator(pg_catalog.<)',
  lessOrEqual: 'operator(pg_catalog.<=)',
  equal: 'operator(pg_catalog.=)',
  greaterOrEqual: 'operator(pg_catalog.>=)',
  greater: 'operator(pg_catalog.>)',
};

/** A column of the key and its bound, as SQL. */
interface Term {
  readonly column: string;
  readonly bound: string;
  readonly operators: Operators;
}

/**
 * The rows of a range, as a condition on `source`, for a session that finds the operators of pg_catalog only. The key's index answers
 * it, but for texts that are compared by their bytes under another collation.
 *
 * A bound is read by the input function of the key's type, like a value of COPY: a cast could be a function of anybody's.
 */
export function keyCondition(order: KeyOrder, { from, to, bytewise = false }: Omit<KeyRange, 'kind'>): string {
  const terms = (texts: KeyTexts): Term[] =>
    order.map((column, index) => {
      const text = texts[index];
      if (text === undefined) throw new RangeError(`a key of ${order.length} columns has no bound of ${texts.length}`);
      return termOf(column, text, bytewise);
    });
  if (from === null && to === null) return 'true';
  return [
    ...(from === null ? [] : [compare(terms(from), { last: 'greaterOrEqual', others: 'greater' })]),
    ...(to === null ? [] : [compare(terms(to), { last: 'less', others: 'less' })]),
  ].join(' and ');
}

/** Whether the key's index has the order of a range. */
export function hasIndexOrder(order: KeyOrder, { bytewise = false }: Pick<KeyRange, 'bytewise'>): boolean {
  const isOneWay = new Set(order.map(({ isDescending }) => isDescending)).size === 1;
  return isOneWay && !(bytewise && order.some(({ bytes }) => bytes === 'collate' || bytes === 'convert'));
}

function termOf({ name, type, operators, bytes }: KeyColumn, text: string, bytewise: boolean): Term {
  const column = `source.${quotePg(name)}`;
  const bound = `${literal(text)}::${type}`;
  if (!bytewise || bytes === null || bytes === 'index') return { column, bound, operators };
  if (bytes === 'collate') return { column: `(${column} collate pg_catalog."C")`, bound, operators };
  const converted = (value: string): string => `pg_catalog.convert_to(${value}::pg_catalog.text, 'UTF8')`;
  return { column: converted(column), bound: converted(bound), operators: OWN };
}

interface Comparison {
  /** What the last column must be to its bound where all others are equal to theirs. */
  readonly last: 'greaterOrEqual' | 'less';
  readonly others: 'greater' | 'less';
}

/** The first column stands alone too: PostgreSQL leaves out partitions by it, and not by a comparison of rows. */
function compare(terms: readonly Term[], { last, others }: Comparison): string {
  const [first] = terms;
  if (first === undefined || terms.length === 1) return expand(terms, { last, others });
  const leading = first.operators[last === 'less' ? 'lessOrEqual' : 'greaterOrEqual'];
  const isOwn = terms.every(({ operators }) => operators[last] === OWN[last]);
  // The index answers a comparison of rows as a whole, with one name of the operator for all columns.
  const all = isOwn
    ? `(${terms.map(({ column }) => column).join(', ')}) ${OWN[last]} (${terms.map(({ bound }) => bound).join(', ')})`
    : `(${expand(terms, { last, others })})`;
  return `${first.column} ${leading} ${first.bound} and ${all}`;
}

function expand([first, ...rest]: readonly Term[], comparison: Comparison): string {
  if (first === undefined) return 'true';
  const { column, bound, operators } = first;
  if (rest.length === 0) return `${column} ${operators[comparison.last]} ${bound}`;
  return (
    `${column} ${operators[comparison.others]} ${bound} or ` +
    `${column} ${operators.equal} ${bound} and (${expand(rest, comparison)})`
  );
}
