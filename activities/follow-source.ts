import type { SliceRequest } from '../src/domain/receipt.js';
import type { ReplicatedTable } from '../src/domain/replicated-table.js';
import type { ShapeChange } from '../src/domain/shape.js';
import { formatTableName } from '../src/domain/table-name.js';
import { Failure } from '../src/failure/failure.js';
import { ShapeBehind } from '../src/pipeline/shape-behind.js';
import { followShape } from '../src/source/follow-shape.js';
import type { Deps } from './deps.js';
import { findPreparedTable } from './find-prepared-table.js';

/**
 * What a stage does about columns that are not those it was opened with. When it returns, the ledger knows a newer shape, or the change
 * was one that matters to nobody: the stage opens its ends again.
 * @param table as the stage had it
 * @returns the change where this attempt has noted it
 * @throws what the stage met, where that is no change of columns or cannot be followed; Failure `LedgerSetBack` where messages have a
 *   shape that the ledger does not know
 */
export async function followSource(
  deps: Deps,
  request: SliceRequest,
  { table, met, signal }: { readonly table: ReplicatedTable; readonly met: unknown; readonly signal: AbortSignal },
): Promise<ShapeChange | undefined> {
  const isBehind = met instanceof ShapeBehind;
  const isChanged = met instanceof Failure && met.kind === 'SourceChanged';
  if (!isBehind && !isChanged) throw met;
  const newest = await findPreparedTable(deps.ledger, request, await deps.deployment());
  if (newest.shape > table.shape) return undefined;
  if (isBehind)
    throw new Failure('LedgerSetBack', {
      message: `${formatTableName(table.name)} has rows of a newer shape than ${table.shape}, the last one that the ledger knows.`,
    });
  await using pg = await deps.connectSource(`look at ${formatTableName(table.name)}`, {
    signal,
    onWait: () => undefined,
  });
  const followed = await followShape(pg, deps.ledger, newest);
  if (followed.kind === 'same') throw met;
  if (followed.kind !== 'noted') return undefined;
  const { change } = followed;
  const labels = { pipeline: request.pipeline, table: formatTableName(table.name), class: change.class };
  deps.meters.add('pg2click_schema_changes_total', 1, labels);
  const { change: what, ...rest } = change;
  deps.log.info({ table: labels.table, ...rest, what }, 'columns changed');
  return change;
}
