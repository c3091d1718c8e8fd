import { given } from './given.js';
import { physicalKey, type ReplicatedTable, type TableOptions } from './replicated-table.js';

/** How a target is stored, as expressions of ClickHouse over its columns. What is absent: ordered by the key, one partition, no end. */
export interface TargetLayout {
  /** A list, without its parentheses. */
  readonly orderBy?: string;
  readonly partitionBy?: string;
  /** When a row is deleted: a date or a time. */
  readonly ttl?: string;
  /** The user says that no UPDATE changes what `ttl` is of a row. */
  readonly constantTtl?: boolean;
  /** The cluster on whose servers it is made, as a replica on each. */
  readonly cluster?: string;
}

export type LayoutOptions = Pick<TableOptions, 'orderBy' | 'partitionBy' | 'ttl' | 'constantTtl' | 'cluster'>;

/** The options of the command line. */
export const LAYOUT_FLAGS = { orderBy: '--order-by', partitionBy: '--partition-by', ttl: '--ttl' } as const;
export type LayoutClause = keyof typeof LAYOUT_FLAGS;

/** @returns undefined where nothing was chosen */
export function layoutOf({ orderBy, partitionBy, ttl, constantTtl, cluster }: LayoutOptions): TargetLayout | undefined {
  const layout = given({
    orderBy: textOf(orderBy),
    partitionBy: textOf(partitionBy),
    ttl: textOf(ttl),
    constantTtl: constantTtl === true ? true : undefined,
    cluster: textOf(cluster),
  }) as TargetLayout;
  return Object.keys(layout).length === 0 ? undefined : layout;
}

/** As the options of the command line; null where nothing was chosen. */
export function describeLayout(layout: TargetLayout | undefined): string | null {
  if (layout === undefined) return null;
  const { constantTtl, cluster } = layout;
  const clauses = Object.entries(LAYOUT_FLAGS).flatMap(([clause, flag]) => {
    const expression = layout[clause as LayoutClause];
    return expression === undefined ? [] : [`${flag} ${expression}`];
  });
  return [
    ...clauses,
    ...(constantTtl === true ? ['--constant-ttl'] : []),
    ...(cluster === undefined ? [] : [`--cluster ${cluster}`]),
  ].join('; ');
}

/** A person may have typed them, as JSON for Temporal. */
function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  return typeof value === 'string' ? value.trim() : JSON.stringify(value);
}

/**
 * What is wrong with a layout as far as its text shows; the rest is for ClickHouse to judge.
 * @param versions whether rows of the target replace others: then its sorting key says which
 * @returns one sentence; undefined where it is fine
 */
export function flawOfLayout(
  layout: TargetLayout,
  table: Pick<ReplicatedTable, 'columns' | 'key'>,
  { versions }: { readonly versions: boolean },
): string | undefined {
  for (const clause of ['orderBy', 'partitionBy', 'ttl'] as const)
    if (layout[clause] === '') return `${LAYOUT_FLAGS[clause]} needs an expression of ClickHouse.`;
  if (layout.constantTtl === true && layout.ttl === undefined)
    return '--constant-ttl says something about --ttl: give both.';
  if (!versions || layout.orderBy === undefined) return undefined;
  const [missing] = missingKey(layout.orderBy, physicalKey(table));
  return missing === undefined
    ? undefined
    : `--order-by ${layout.orderBy} lacks the key column ${missing}: ClickHouse would take rows with other values of it for one row.`;
}

/** @returns the key columns that a sorting key does not hold by themselves */
export function missingKey(sortingKey: string, key: readonly string[]): readonly string[] {
  const plain = splitList(sortingKey).map(readIdentifier);
  return key.filter((name) => !plain.includes(name));
}

/** Brackets, commas, and what is quoted. */
const PIECES = /'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*"|[()[\],]|[^'`"()[\],]+/gsu;

/** Splits a list of expressions at its own commas: `a, f(b, c)` is two. Parentheses around the whole list are no part of it. */
export function splitList(text: string): readonly string[] {
  const pieces = text.trim().match(PIECES) ?? [];
  const items: string[] = [''];
  let depth = 0;
  let closedAt: number | undefined;
  for (const [index, piece] of pieces.entries()) {
    if (piece === '(' || piece === '[') depth += 1;
    if (piece === ')' || piece === ']') depth -= 1;
    if (depth === 0 && closedAt === undefined) closedAt = index;
    if (piece === ',' && depth === 0) items.push('');
    else items[items.length - 1] += piece;
  }
  if (pieces[0] === '(' && closedAt === pieces.length - 1) return splitList(pieces.slice(1, -1).join(''));
  const trimmed = items.map((item) => item.trim());
  return trimmed.length === 1 && trimmed[0] === '' ? [] : trimmed;
}

/** @returns the column that an expression is; undefined for anything but a plain one */
export function readIdentifier(expression: string): string | undefined {
  const [, ticked, quoted, plain] =
    /^(?:`((?:[^`\\]|\\.|``)+)`|"((?:[^"\\]|\\.|"")+)"|([A-Za-z_]\w*))$/su.exec(expression) ?? [];
  const name = ticked?.replaceAll('``', '`') ?? quoted?.replaceAll('""', '"');
  return plain ?? name?.replaceAll(/\\(.)/gsu, '$1');
}
