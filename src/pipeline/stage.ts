import type { ReplicatedTable } from '../domain/replicated-table.js';
import type { SliceRequest } from '../domain/receipt.js';
import type { StageId } from '../domain/route.js';
import type { StageClaim, StageRow } from '../ledger/stages.js';
import type { Slice } from './slice.js';

/** What the source and the writer of a stage are made from, after the slice has claimed the stage. */
export interface StageContext<Row extends StageRow = StageRow> {
  readonly table: ReplicatedTable;
  readonly stage: StageId;
  readonly slice: Slice;
  readonly request: SliceRequest;
  /** As the ledger had it when it was claimed. */
  readonly row: Row;
  readonly claim: StageClaim;
}
