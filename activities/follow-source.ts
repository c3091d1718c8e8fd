import type { SliceRequest } from '../src/domain/receipt.js';
import { sourceName, type ReplicatedTable } from '../src/domain/replicated-table.js';
import type { ShapeChange } from '../src/domain/shape.js';
import { formatTableName, isSameName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { ShapeBehind } from '../src/pipeline/shape-behind.js';
import { findPlace } from '../src/source/catalog/place.js';
import { followShape } from '../src/source/follow-shape.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';

/** What a stage met. */
interface Met {
  /** As the stage had it. */
  readonly table: ReplicatedTable;
  readonly met: unknown;
  /** False: where nothing of it is found, it may have been undone by then, as a name that was given back, and the stage looks once more. */
  readonly isMetAgain: boolean;
  readonly signal: AbortSignal;
}

/**
 * What a stage does about columns, or a name, that are not those it was opened with. When it returns, the ledger knows a newer shape, or
 * the change was one that matters to nobody: the stage opens its ends again.
 * @returns the change where this attempt has noted it
 * @throws what the stage met, where that is no change of columns or cannot be followed; Failure `LedgerSetBack` where messages have a
 *   shape that the ledger does not know
 */
export async function followSource(
  deps: Deps,
  request: SliceRequest,
  { table, met, isMetAgain, signal }: Met,
): Promise<ShapeChange | undefined> {
  const isBehind = met instanceof ShapeBehind;
  const isChanged = met instanceof Failure && met.kind === 'SourceChanged';
  const mayBeMoved = met instanceof Failure && (met.kind === 'MissingTable' || met.kind === 'Unauthorized');
  if (!isBehind && !isChanged && !mayBeMoved) throw met;
  const newest = await findPreparedTable(deps.ledger, request, await deps.deployment());
  if (newest.shape > table.shape) return undefined;
  if (isBehind)
    throw new Failure('LedgerSetBack', {
      message: `${formatTableName(table.name)} has rows of a newer shape than ${table.shape}, the last one that the ledger knows.`,
    });
  if (mayBeMoved && !(await isMoved(deps, newest))) {
    if (isMetAgain || met.kind !== 'MissingTable') throw met;
    return undefined;
  }
  await using pg = await deps.connectSource(`look at ${formatTableName(table.name)}`, {
    signal,
    onWait: () => undefined,
  });
  const followed = await followShape(pg, deps.ledger, newest);
  if (followed.kind === 'same' && isMetAgain) throw met;
  if (followed.kind !== 'noted') return undefined;
  const { change } = followed;
  const labels = { pipeline: request.pipeline, table: formatTableName(table.name), class: change.class };
  deps.meters.add('pg2click_schema_changes_total', 1, labels);
  const { change: what, ...rest } = change;
  deps.log.info({ table: labels.table, ...rest, what }, 'columns changed');
  return change;
}

/** Whether it may have another name than the one that was not there, or was not ours to read. A loader may not reach PostgreSQL at all. */
async function isMoved({ source }: Deps, table: ReplicatedTable): Promise<boolean> {
  try {
    const { name, taken, usable } = await findPlace(source, table);
    return name === null || taken || !usable || !isSameName(name, sourceName(table));
  } catch {
    return false;
  }
}
