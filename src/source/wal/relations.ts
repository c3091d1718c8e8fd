import type { Relation } from './pgoutput.js';
import type { WalTable } from './state.js';

/**
 * Where the key is in the rows of a relation. The stream has names and no attribute numbers, and names may have changed since. So the
 * columns that it marks as the replica identity, which come in the order of their numbers, are counted off against the numbers that the
 * identity had when the table was added.
 * @param names of the key columns in the catalogue as it is now, in key order: for tables that mark every column
 * @returns in key order; undefined where the relation is not what it was: nobody can tell the key
 */
export function placesOfKey(
  { identity, columns }: Relation,
  table: Pick<WalTable, 'identity' | 'key'>,
  names: readonly string[],
): readonly number[] | undefined {
  const places = (identity === 'f') === (table.identity === null) ? find({ columns }, table, names) : [];
  return places.length === table.key.length && places.every((place) => place >= 0) ? places : undefined;
}

function find(
  { columns }: Pick<Relation, 'columns'>,
  { identity, key }: Pick<WalTable, 'identity' | 'key'>,
  names: readonly string[],
): readonly number[] {
  if (identity === null) return names.map((name) => columns.findIndex((column) => column.name === name));
  const marked = columns.flatMap(({ isIdentity }, place) => (isIdentity ? [place] : []));
  if (marked.length !== identity.length) return [];
  return key.map((number) => marked[identity.indexOf(number)] ?? -1);
}
