import type { LoaderReceipt } from '../../src/domain/receipt.js';
import { FIRST_ROUTE, stagesOf } from '../../src/domain/route.js';
import { PREPARED } from './table-events.js';

/** What a change of loaders makes of the table. */
export function withLoaders(...names: readonly string[]): LoaderReceipt {
  const stages = stagesOf({ ...FIRST_ROUTE, loaders: names.map((name) => ({ name })) });
  return { prepared: { ...PREPARED, stages }, dropped: [], kept: [] };
}
