import { formatTableName, type TableName } from '../domain/table-name.js';
import { parseTablePattern, type TablePattern } from '../domain/table-pattern.js';
import { Failure } from '../failure/failure.js';
import type { NamedTable } from '../source/catalog/list-tables.js';

export interface Selection {
  readonly patterns: readonly string[];
  /** Patterns too. */
  readonly exclude: readonly string[];
}

/**
 * The tables that names and patterns mean. A partitioned table stands for its partitions: where a pattern or a name means both, only
 * the partitioned table is taken, and where that is excluded none of them. A partition that is named goes in by itself.
 * @param all the tables that are there; a name that is none of them is taken as it is, so that it is refused with the reason
 * @throws Failure `Misconfigured` for what is no pattern; `MissingTable` for a pattern that no table fits
 */
export function selectTables(all: readonly NamedTable[], { patterns, exclude }: Selection): readonly NamedTable[] {
  const wanted = patterns.map(parseTablePattern);
  const excluded = exclude.map(parseTablePattern);
  const names = wanted.flatMap(({ name }) => (name === undefined ? [] : [name]));
  const wild = wanted.filter(({ name }) => name === undefined);
  const isMeant = (name: TableName): boolean => matchesAny(wanted, name);
  const chosen = new Map<string, NamedTable>();
  const choose = (table: NamedTable): void => {
    if (!matchesAny(excluded, table.name)) chosen.set(formatTableName(table.name), table);
  };
  for (const name of names) {
    const title = formatTableName(name);
    choose(all.find((each) => formatTableName(each.name) === title) ?? { name, partOf: [], partitions: 0 });
  }
  for (const pattern of wild) {
    const found = all.filter(({ name }) => pattern.matches(name));
    if (found.length === 0)
      throw new Failure('MissingTable', {
        message: `No table of this database fits ${pattern.text}.`,
        remedy: `Nothing was added. Quote a pattern for your shell, and write capitals in double quotes: '"Shop".*'.`,
      });
    for (const table of found) if (!table.partOf.some(isMeant)) choose(table);
  }
  return [...chosen.values()].toSorted((a, b) => (formatTableName(a.name) < formatTableName(b.name) ? -1 : 1));
}

function matchesAny(patterns: readonly TablePattern[], name: TableName): boolean {
  return patterns.some((pattern) => pattern.matches(name));
}
