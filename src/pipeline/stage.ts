import type { ReplicatedTable } from '../domain/replicated-table.js';
import type { SliceRequest } from '../domain/receipt.js';
import type { StageId } from '../domain/route.js';
import type { StageClaim, StageRow } from '../ledger/stages.js';
import type { Slice } from './slice.js';

/** A slice of a stage that has claimed it: what its source and its writer are made from. */
export interface StageContext<Row extends StageRow = StageRow> {
  readonly table: ReplicatedTable;
  readonly stage: StageId;
  readonly slice: Slice;
  readonly request: SliceRequest;
  /** As the ledger had it when it was claimed. */
  readonly row: Row;
  readonly claim: StageClaim;
}
