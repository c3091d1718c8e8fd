import type { KeyRange, KeyTexts } from '../domain/chunk.js';
import { columnType } from '../domain/column-type.js';
import type { Column, TargetTable } from '../domain/replicated-table.js';
import { formatTableName } from '../domain/table-name.js';
import { boundOf, isText, type BoundSql } from './key-bound.js';
import { targetNames } from './names.js';
import { targetEngine } from './target-engines.js';

type KeyOwner = Pick<TargetTable, 'name' | 'columns' | 'key' | 'target' | 'engine'>;
type Bounds = Pick<KeyRange, 'from' | 'to' | 'bytewise'>;

/**
 * Why the rows of a range cannot be pruned: ClickHouse must have the same rows between the same keys, or a prune would delete rows
 * outside of the range. All rows of a table always can, where it has deletions at all.
 * @returns one sentence, undefined where they can
 */
export function flawOfPrune(table: KeyOwner, { from, to }: Bounds): string | undefined {
  const { shown } = targetNames(table.target);
  if (!targetEngine(table).versions)
    return `Nothing can be pruned from the ClickHouse table ${shown}: it keeps every row that was inserted, and has no deletions.`;
  if (from === null && to === null) return undefined;
  const other = keyColumns(table).find((column) => boundOf(column) === undefined);
  if (other === undefined) return undefined;
  const types = `${other.type} in PostgreSQL, ${columnType(other).clickhouse(other)} in ClickHouse`;
  return `A range of ${formatTableName(table.name)} cannot be pruned, only the whole table: the two servers order the key column ${other.name} (${types}) in two ways.`;
}

/** Whether a range that is pruned must be `bytewise`: ClickHouse orders texts by their bytes. */
export function needsBytewise(table: Pick<TargetTable, 'columns' | 'key'>, { from, to }: Bounds): boolean {
  return (from !== null || to !== null) && keyColumns(table).some(isText);
}

/**
 * The rows of a range, as a condition on the columns of the target.
 * @throws RangeError where `flawOfPrune` has one, or the range is not bytewise and must be
 */
export function rangeCondition(table: Pick<TargetTable, 'columns' | 'key'>, range: Bounds): string {
  const { from, to, bytewise = false } = range;
  if (needsBytewise(table, range) && !bytewise)
    throw new RangeError('a range of texts that is pruned must be bytewise');
  const columns = keyColumns(table);
  const bounds = (texts: KeyTexts): BoundSql[] => columns.map((column, index) => boundAt(column, texts[index]));
  const conditions = [
    ...(from === null ? [] : [atOrAfter(bounds(from))]),
    ...(to === null ? [] : [before(bounds(to))]),
  ];
  return conditions.length === 0 ? '1' : conditions.join(' and ');
}

function boundAt(column: Column, text: string | undefined): BoundSql {
  const bound = boundOf(column);
  if (bound === undefined || text === undefined) throw new RangeError(`column ${column.name} has no bound`);
  return bound(text);
}

function keyColumns({ columns, key }: Pick<TargetTable, 'columns' | 'key'>): Column[] {
  return key.flatMap((name) => columns.filter((column) => column.name === name));
}

/** The first column stands alone too: the primary index is read by it. */
function atOrAfter(bounds: readonly BoundSql[]): string {
  const [first] = bounds;
  return `(${first?.greater ?? '1'} or ${first?.equal ?? '1'}) and (${orderSql(bounds, 'greater')})`;
}

function before(bounds: readonly BoundSql[]): string {
  const [first] = bounds;
  return `(${first?.less ?? '1'} or ${first?.equal ?? '1'}) and (${orderSql(bounds, 'less')})`;
}

/** Keys that are equal to the bound are in `greater`, and not in `less`. */
function orderSql([first, ...rest]: readonly BoundSql[], way: 'less' | 'greater'): string {
  if (first === undefined) return way === 'greater' ? '1' : '0';
  return `${first[way]} or ${first.equal} and (${orderSql(rest, way)})`;
}
