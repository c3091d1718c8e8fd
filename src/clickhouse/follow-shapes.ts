import type { ClickHouseClient } from '@clickhouse/client';
import type { Queryable } from '../connect/queryable.js';
import type { TargetTable } from '../domain/replicated-table.js';
import { readShape } from '../ledger/shapes.js';
import { ShapeBehind } from '../pipeline/shape-behind.js';
import { applyShapes } from './apply-shapes.js';
import { refreshView } from './current-view.js';
import { isNewer, newestShape, readMarkers } from './shape-marker.js';

/**
 * Brings a target and its view to the newest shape of the table. In this order: a view keeps the types of the columns that it was made
 * over. An attempt that was late with the view finds the marker of a newer shape behind it.
 * @throws ShapeBehind where the table has a newer shape than the one given; Failure those of ClickHouse and of the ledger
 */
export async function followShapes(ch: ClickHouseClient, ledger: Queryable, table: TargetTable): Promise<void> {
  const newest = await readShape(ledger, table.id);
  if (newest !== undefined && newest > table.shape) throw new ShapeBehind(table.shape, newest);
  const own = newestShape(table);
  if (own.shape === 1) return;
  await applyShapes(ch, table);
  // No other engine has a view.
  if (table.engine !== undefined && table.engine !== 'replacing') return;
  await refreshView(ch, table);
  const later = (await readMarkers(ch, table.target)).find((marker) => isNewer(marker, own));
  if (later !== undefined) throw new ShapeBehind(table.shape, later.shape);
}
