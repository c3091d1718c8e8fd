import type { BackfillTerms } from './backfill.js';
import type { CopyProgress } from './chunk.js';
import type { CopyPriority } from './copy-priority.js';
import type { Kept } from './kept-table.js';
import type { ReplayTerms, TopicOffsets } from './replay.js';
import type { TableOptions } from './replicated-table.js';
import type { StageId, StageSpec } from './route.js';
import type { ChangeStep, RouteOptions } from './route-change.js';
import type { SearchAttributeName } from './search-attributes.js';
import type { ShapeChange } from './shape.js';
import type { TableName } from './table-name.js';

/** Which table, in which pipeline: the argument of every activity begins with it. */
export interface TableAddress extends TableName {
  readonly pipeline: string;
  /** Id of the deployment whose workflow sends the request; absent if that runs on queues with other names. */
  readonly deployment?: string | undefined;
}

export interface PrepareRequest extends TableAddress {
  readonly options: TableOptions;
}

/** What preparing found and made: shown to people. */
export interface PrepareReceipt {
  readonly id: string;
  readonly generation: number;
  /** Null where no topic carries the rows. */
  readonly topic: string | null;
  /** `database.table` */
  readonly target: string;
  readonly key: readonly string[];
  /** `reltuples`: an estimate for the progress of the first load; null if PostgreSQL has none. */
  readonly estimatedRows: number | null;
  /** The stages of the table, in the order in which a row meets them; absent in receipts of older releases. */
  readonly stages?: readonly StageSpec[];
  /** Old tables of its resyncs that are kept; absent: none. */
  readonly kept?: readonly Kept[];
}

/** What the last receipt said was confirmed. It is kept outside the ledger, because a restore may set the ledger back. */
export interface Checkpoint {
  readonly batch: number;
  /** The highest `seq` that was moved. Decimal. */
  readonly highest: string;
}

export interface SliceRequest extends TableAddress {
  /** Absent in requests of older releases: then the activity knows it. */
  readonly stage?: StageId;
  /** Ledger id of the table, from its `PrepareReceipt`; absent in requests of older releases. */
  readonly tableId?: string | undefined;
  /** Null before the first receipt. */
  readonly checkpoint: Checkpoint | null;
  /** The newest shape that the workflow knows; absent in requests of older releases. */
  readonly shape?: number;
  /** How long the slice runs, milliseconds. */
  readonly sliceMs: number;
  /** How long it runs while nothing at all moves and nothing waits; `sliceMs` when absent. */
  readonly idleMs?: number | undefined;
  /** Of a copy: `normal` when absent. */
  readonly priority?: CopyPriority | undefined;
}

/** What the worker adds to the receipt of every slice. */
export interface WorkerNote {
  /** Search attributes that the namespace of Temporal lacks. Absent: the worker does not know, or is of an older release. */
  readonly lackingAttributes?: readonly SearchAttributeName[];
}

/** What a slice returns: numbers and positions, never rows. */
export interface SliceReceipt extends WorkerNote {
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
  /** Rows came, went or were changed and no event announces it: the table is to be copied again, and the ledger is ready for that. */
  readonly copyAgain?: boolean;
  /** Rows of the table that are in quarantine, in all its targets; absent in receipts of older releases. */
  readonly quarantined?: number;
  /** Changes of the columns that the slice has noted, or that the workflow does not know yet, in their order. Absent: none. */
  readonly shapes?: readonly ShapeChange[];
}

/** What a slice of a copy returns. */
export interface CopyReceipt extends WorkerNote {
  /** Of the copy so far. */
  readonly rows: number;
  /** Of this slice, as they were sent. */
  readonly bytes: number;
  /** Of this slice. */
  readonly seconds: number;
  /** The allocated position: part of the version of every copied row. Decimal; 0 before it is done. */
  readonly position: string;
  /** False: there is more to copy. Absent in receipts of older releases, which copied all at once. */
  readonly finished?: boolean;
  /** Absent in receipts of older releases. */
  readonly progress?: CopyProgress;
  /** Of a backfill that prunes: tombstones that it wrote; absent before it is done. */
  readonly pruned?: number;
  /** Of a resync that is done: the old tables of the table that are kept now. */
  readonly kept?: readonly Kept[];
}

export interface StopRequest extends TableAddress {
  readonly stage: StageId;
  readonly tableId?: string | undefined;
}

export interface RemoveRequest extends TableAddress {
  /** Ledger id of the table: one of the same name that was added later is left alone. Absent if it was never prepared. */
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

/** One step of a change of the route. */
export interface ChangeRequest extends TableAddress {
  /** Ledger id of the table. */
  readonly tableId?: string | undefined;
  readonly options: RouteOptions;
  readonly step: ChangeStep;
  /** What the step before handed on. */
  readonly start?: unknown;
}

export interface ChangeReceipt {
  /** Null: the change is over. */
  readonly next: ChangeStep | null;
  /** For the next step: where reading starts. */
  readonly start?: unknown;
  /** The table as the ledger has it now, where its route was exchanged or stays what it is. */
  readonly prepared?: PrepareReceipt;
  /** Why it was not done, one sentence: the table goes on as it is. */
  readonly refused?: string;
}

/** To give a table another loader. */
export interface LoaderRequest extends TableAddress {
  readonly loader: {
    readonly name: string;
    /** `table` or `database.table`; the name of the first target when absent. */
    readonly target?: string | undefined;
    /** Name of a ClickHouse server in the settings, lower case; that of `CH_URL` when absent. */
    readonly connection?: string | undefined;
  };
}

export interface RemoveLoaderRequest extends TableAddress {
  readonly name: string;
  readonly dropTarget: boolean;
}

/** What a change of loaders made of the table. */
export interface LoaderReceipt extends RemoveReceipt {
  readonly prepared: PrepareReceipt;
}

export interface ReplayRequest extends TableAddress, ReplayTerms {
  /** Names the replay: a repeat finds it. */
  readonly requestId: string;
  /** Stages of the replays that have not ended: rows of others may go. */
  readonly running?: readonly StageId[];
}

export interface ReplayReceipt {
  /** `replay:1` */
  readonly stage: StageId;
  readonly stages: readonly StageSpec[];
  readonly start: TopicOffsets;
  /** Null where it ends when its copy is complete. */
  readonly end: TopicOffsets | null;
  readonly loader: string;
  /** `database.table` */
  readonly target: string;
}

export interface CancelReplayRequest extends TableAddress {
  readonly replay: StageId;
}

/** What to do about rows that are in quarantine. */
export interface QuarantineRequest extends TableAddress {
  /** `retry`: insert them again. `drop`: do without them. */
  readonly action: 'retry' | 'drop';
  /** Absent: all that are open. */
  readonly ids?: readonly string[] | undefined;
}

export interface QuarantineReceipt {
  readonly retried: number;
  /** ClickHouse refuses them still. */
  readonly refused: number;
  readonly dropped: number;
  /** Of the table, now. */
  readonly open: number;
}

export interface BackfillRequest extends TableAddress, BackfillTerms {
  /** Names the backfill: a repeat finds it. */
  readonly requestId: string;
  /** Stages of the backfills that have not ended: rows of others may go. */
  readonly running?: readonly StageId[];
}

/** What to do with old tables that a resync has kept. */
export interface KeptRequest extends TableAddress {
  /** As in `Kept`. */
  readonly names: readonly string[];
  /** ISO 8601: they are kept until then; null: until somebody drops them. Absent: they are dropped now. */
  readonly until?: string | null | undefined;
}

export interface KeptReceipt {
  /** Those of the table that are kept now. */
  readonly kept: readonly Kept[];
}

export interface BackfillReceipt {
  /** `backfill:1` */
  readonly stage: StageId;
  readonly loader: string;
  /** `database.table` */
  readonly target: string;
}

export interface CancelBackfillRequest extends TableAddress {
  readonly backfill: StageId;
}

export interface ReplaySliceReceipt extends SliceReceipt {
  /** All of the range is in the target. */
  readonly finished: boolean;
}

/** What an activity reports while it runs. For displays only: positions are in the ledger. */
export interface SliceProgress {
  /** A stage, or `prepare`, `configure` or `remove`. */
  readonly stage: StageId;
  readonly rows: number;
  readonly batches: number;
  readonly moved: string;
  readonly waiting: number;
  readonly lagSeconds: number;
  /** Of a copy: `rows` are those of the whole copy so far then, with those in flight. */
  readonly copy?: CopyProgress;
}

/** What the activities offer, as workflows see them. */
export interface ReplicationActivities {
  prepareTable(request: PrepareRequest): Promise<PrepareReceipt>;
  copyTable(request: SliceRequest): Promise<CopyReceipt>;
  publishSlice(request: SliceRequest): Promise<SliceReceipt>;
  loadSlice(request: SliceRequest): Promise<SliceReceipt>;
  directSlice(request: SliceRequest): Promise<SliceReceipt>;
  changeRoute(request: ChangeRequest): Promise<ChangeReceipt>;
  /** A slice that watches what loads by itself, and starts it. */
  watchEngine(request: SliceRequest): Promise<SliceReceipt>;
  /** Ends what loads by itself. */
  stopEngine(request: StopRequest): Promise<void>;
  replaySlice(request: SliceRequest): Promise<ReplaySliceReceipt>;
  addLoader(request: LoaderRequest): Promise<LoaderReceipt>;
  removeLoader(request: RemoveLoaderRequest): Promise<LoaderReceipt>;
  startReplay(request: ReplayRequest): Promise<ReplayReceipt>;
  cancelReplay(request: CancelReplayRequest): Promise<void>;
  startBackfill(request: BackfillRequest): Promise<BackfillReceipt>;
  cancelBackfill(request: CancelBackfillRequest): Promise<void>;
  changeKept(request: KeptRequest): Promise<KeptReceipt>;
  changeQuarantine(request: QuarantineRequest): Promise<QuarantineReceipt>;
  /** Returns nothing if this attempt cannot know what an earlier one dropped, and in histories of older releases. */
  removeTable(request: RemoveRequest): Promise<RemoveReceipt | void>;
}
