import type { Relation } from './pgoutput.js';
import type { WalTable } from './state.js';

/**
 * Where the key is in the rows of a relation. The stream has names and no attribute numbers, and names may have changed since. So the
 * columns that it marks as the replica identity, which come in the order of their numbers, are counted off against the numbers that the
 * identity had when the table was added. A name that is another column's now was so then, or the two have changed names since: nobody knows.
 * @param numbers of the columns in the catalogue as it is now, by name
 * @returns in key order; undefined where the relation is not what it was: nobody can tell the key
 */
export function placesOfKey(
  { identity, columns }: Relation,
  table: Pick<WalTable, 'identity' | 'key'>,
  numbers: ReadonlyMap<string, number>,
): readonly number[] | undefined {
  const places = (identity === 'f') === (table.identity === null) ? find({ columns }, table, numbers) : [];
  return places.length === table.key.length && places.every((place) => place >= 0) ? places : undefined;
}

function find(
  { columns }: Pick<Relation, 'columns'>,
  { identity, key }: Pick<WalTable, 'identity' | 'key'>,
  numbers: ReadonlyMap<string, number>,
): readonly number[] {
  if (identity === null) return key.map((number) => columns.findIndex(({ name }) => numbers.get(name) === number));
  const marked = columns.flatMap(({ isIdentity }, place) => (isIdentity ? [place] : []));
  const numberOf = (place: number): number | undefined => numbers.get(columns[place]?.name ?? '');
  if (marked.length !== identity.length) return [];
  if (marked.some((place, index) => (numberOf(place) ?? identity[index]) !== identity[index])) return [];
  return key.map((number) => marked[identity.indexOf(number)] ?? -1);
}
