import type { TableAddress } from '../domain/receipt.js';
import type { StageId } from '../domain/route.js';
import { formatTableName } from '../domain/table-name.js';
import type { Meters } from './meters.js';

export interface MovedBatch {
  readonly stage: StageId;
  readonly rows: number;
  readonly bytes: number;
  /** Milliseconds; left out where the histogram does not know the stage. */
  readonly durationMs?: number;
  /** An earlier attempt had named it, and may have sent it. */
  readonly again?: boolean;
}

/** Counts a batch that was confirmed. */
export function countBatch(meters: Meters, address: TableAddress, batch: MovedBatch): void {
  const { stage, rows, bytes, durationMs, again = false } = batch;
  const labels = { pipeline: address.pipeline, table: formatTableName(address), stage };
  meters.add('pg2click_batches_total', 1, labels);
  meters.add('pg2click_rows_total', rows, labels);
  meters.add('pg2click_bytes_total', bytes, labels);
  if (again) meters.add('pg2click_resent_rows_total', rows, labels);
  if (durationMs !== undefined) meters.record('pg2click_batch_duration_seconds', durationMs / 1_000, { stage });
}
