import type { ReplicatedTable } from './replicated-table.js';

/** What the user chose for columns, in one line; null where nothing was chosen. */
export function describeChoices({
  columns,
  excluded = [],
}: Pick<ReplicatedTable, 'columns' | 'excluded'>): string | null {
  const chosen = columns.flatMap(({ name, clickhouse, policy, codec, shown }) => {
    const called = shown === undefined ? undefined : `called ${shown}`;
    const what = [called, clickhouse, policy, codec && `codec ${codec}`]
      .filter((each) => each !== undefined)
      .join(', ');
    return what === '' ? [] : [`${name}: ${what}`];
  });
  const leftOut = excluded.length === 0 ? [] : [`left out: ${excluded.map(({ name }) => name).join(', ')}`];
  return chosen.length + leftOut.length === 0 ? null : [...chosen, ...leftOut].join('; ');
}

/** The same of each column, to compare two choices by. */
export function choicesOf({
  columns,
  excluded = [],
}: Pick<ReplicatedTable, 'columns' | 'excluded'>): ReadonlyMap<string, string> {
  return new Map([
    ...columns.map(
      ({ name, position, clickhouse = 'its own type', policy = 'refuse', codec = 'default', shown = name }) =>
        [String(position), `column ${name}: ${clickhouse}, ${policy}, codec ${codec}, called ${shown}`] as const,
    ),
    ...excluded.map(({ name, position }) => [String(position), `column ${name}: left out`] as const),
  ]);
}
