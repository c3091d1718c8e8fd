import type { TableOptions } from './replicated-table.js';
import type { StageId, StageSpec } from './route.js';
import type { TableName } from './table-name.js';

/** Which table, in which pipeline: the argument of every activity begins with it. */
export interface TableAddress extends TableName {
  readonly pipeline: string;
  /** Identity of the deployment that asks; absent where its workflow runs on queues with names of their own. */
  readonly deployment?: string | undefined;
}

export interface PrepareRequest extends TableAddress {
  readonly options: TableOptions;
}

/** What preparing found and made: shown to people. */
export interface PrepareReceipt {
  readonly id: string;
  readonly generation: number;
  readonly topic: string;
  /** `database.table` */
  readonly target: string;
  readonly key: readonly string[];
  /** `reltuples`: a guess for the progress of the first load; null when PostgreSQL has none. */
  readonly estimatedRows: number | null;
  /** What runs for the table, in the order in which a row meets it; absent in receipts of before stages were data. */
  readonly stages?: readonly StageSpec[];
}

/** What the last receipt said was confirmed: a checkpoint outside the ledger, which may be set back by a restore. */
export interface Checkpoint {
  readonly batch: number;
  /** Of a stage that drains an outbox: last `seq`; of one that reads a topic: highest `seq` loaded. Decimal. */
  readonly highest: string;
}

export interface SliceRequest extends TableAddress {
  /** Which stage; absent in requests of before stages were data: then the activity tells it. */
  readonly stage?: StageId;
  /** Ledger id of the table, as preparing told it; absent in requests of before. */
  readonly tableId?: string | undefined;
  /** Null before the first receipt. */
  readonly checkpoint: Checkpoint | null;
  /** How long the slice runs, milliseconds. */
  readonly sliceMs: number;
  /** How long it runs while nothing at all moves and nothing waits; `sliceMs` when absent. */
  readonly idleMs?: number | undefined;
}

/** The small answer of a slice: numbers and positions, never rows. */
export interface SliceReceipt {
  readonly stage: StageId;
  readonly batches: number;
  readonly rows: number;
  /** Bytes sent to Kafka, or inserted into ClickHouse. */
  readonly bytes: number;
  readonly checkpoint: Checkpoint;
  /** `seq 120001..135000`, `offset 7..20`; empty when nothing moved. */
  readonly moved: string;
  /** Events or messages still waiting when the slice ended (an estimate). */
  readonly waiting: number;
  /** Age of the oldest waiting event, seconds; 0 when nothing waits. */
  readonly lagSeconds: number;
}

export interface CopyReceipt {
  readonly rows: number;
  readonly bytes: number;
  readonly seconds: number;
  /** The drawn position: the version of every copied row. Decimal. */
  readonly position: string;
}

export interface RemoveRequest extends TableAddress {
  /** Ledger id of the table that is meant: one of its name that was added later is left alone. Absent where it was never prepared. */
  readonly id?: string | undefined;
  /** Drop the target table, its floor and its view too. */
  readonly dropTarget: boolean;
}

/** What a removal did in ClickHouse. Names are `database.table`. */
export interface RemoveReceipt {
  readonly dropped: readonly string[];
  /** What is still there; `why` is a clause: `it was not made by pg2click`. */
  readonly kept: readonly { readonly name: string; readonly why: string }[];
}

/** What an activity says while it runs: a hint for displays, never the truth of a position. */
export interface SliceProgress {
  /** A stage, or `prepare` or `remove`. */
  readonly stage: StageId;
  readonly rows: number;
  readonly batches: number;
  readonly moved: string;
  readonly waiting: number;
  readonly lagSeconds: number;
}

/** What the activities offer, as workflows see them. */
export interface ReplicationActivities {
  prepareTable(request: PrepareRequest): Promise<PrepareReceipt>;
  copyTable(request: SliceRequest): Promise<CopyReceipt>;
  publishSlice(request: SliceRequest): Promise<SliceReceipt>;
  loadSlice(request: SliceRequest): Promise<SliceReceipt>;
  /** Nothing where the attempt cannot know what an earlier one dropped, and in histories of older releases. */
  removeTable(request: RemoveRequest): Promise<RemoveReceipt | void>;
}
