import type { SlotState } from '../domain/slot-state.js';
import type { ClientBase } from 'pg';
import type { Queryable } from '../connect/queryable.js';
import type { BatchName } from '../domain/batch.js';
import type { CaptureOptions, Column, ExcludedColumn, ReplicatedTable } from '../domain/replicated-table.js';
import type { CaptureSpec } from '../domain/route.js';
import type { RowFilter } from '../domain/row-filter.js';
import type { TableName } from '../domain/table-name.js';
import type { SourceBacklog } from '../pipeline/backlog.js';
import type { BatchSource } from '../pipeline/batch.js';
import type { StageContext } from '../pipeline/stage.js';
import type { Fingerprint } from './catalog/fingerprint.js';
import type { OutboxServices } from './outbox/outbox-source.js';
import type { PollServices } from './poll/poll-source.js';
import type { WalServices } from './wal/wal-source.js';
import type { DdlOptions } from './brief-lock.js';
import type { RowBatch, RowContent, RowStream, StreamContent } from '../pipeline/row-batch.js';

/** What adding a table has to know of it. */
export interface Inspection {
  /** `pg_class.oid`, decimal. */
  readonly relation: string;
  /** By position, with what the user chose for them. */
  readonly columns: readonly Column[];
  /** Those that are left out; absent: none is. */
  readonly excluded?: readonly ExcludedColumn[];
  /** Absent: all rows are replicated. */
  readonly where?: RowFilter;
  /** Column names, in the order of the index that guarantees them. */
  readonly key: readonly string[];
  /** A guess of the planner's; null when nothing counted the table yet. */
  readonly estimatedRows: number | null;
  /** Tables that inherit from it (INHERITS), as SQL: their rows are not its own. Absent: none. */
  readonly heirs?: readonly string[];
  /** How this capture will see its changes. */
  readonly capture: CaptureSpec;
}

/** What the sources of captures need of the worker. */
export type CaptureServices = OutboxServices & PollServices & WalServices;

/** A table as its capture counts what waits: with the stage that drains it, as the ledger has it. */
export interface CapturedTable {
  readonly id: string;
  readonly table: ReplicatedTable;
  /** Decimal. */
  readonly lowWater: string;
  /** Undefined where the ledger has no such stage. */
  readonly position: unknown;
  /** The name of a batch that is moved now. */
  readonly pending?: unknown;
}

export interface CaptureBacklog extends SourceBacklog {
  /** Everything up to this position is in the topic. */
  readonly published: bigint;
  /** On the disk of PostgreSQL; null where it is gone. */
  readonly bytes: number | null;
  readonly deadTuples: number | null;
  /** Of a poll: ids below its cursor that had no row. Absent: it has no such thing. */
  readonly gaps?: {
    /** Ranges of ids that are asked for again. */
    readonly ranges: number;
    /** Ids that are not asked for any more. */
    readonly givenUp: number;
  };
  /** Of a capture that reads the WAL. Absent: it has none. */
  readonly slot?: SlotState;
}

/** What it takes to fill an outbox beside another capture. */
export interface SharingOptions extends DdlOptions {
  readonly signal: AbortSignal;
  readonly onWait: (what: string) => void;
}

/**
 * Captures that fill an outbox can fill the same one at once: a key that is in it twice is read twice. So a table goes from one to the
 * other while both see its changes, and positions and generation go on.
 */
export interface OutboxSharing {
  /**
   * Makes what it needs beside the capture that fills the outbox. Idempotent. At its return it sees every change that commits later.
   * @param pg a connection of its own, not a pool
   * @returns what the fingerprint of the table has of it
   * @throws Failure as `install`
   */
  begin(
    services: CaptureServices,
    pg: ClientBase,
    table: ReplicatedTable,
    options: SharingOptions,
  ): Promise<Partial<Fingerprint>>;
  /** Waits until every change that has committed before the call is in the outbox. */
  catchUp(services: CaptureServices, table: ReplicatedTable, options: SharingOptions): Promise<void>;
  /** @throws Failure `SourceChanged` where it may have missed a change since the fingerprint of the table */
  verify(services: CaptureServices, table: ReplicatedTable): Promise<void>;
  /** Takes away what it has made, and leaves the outbox, and all that is in it, to the other one. Idempotent. */
  end(services: CaptureServices, pg: ClientBase, table: ReplicatedTable, options: SharingOptions): Promise<void>;
}

/** A way to see the changes of a table. */
export interface Capture {
  readonly kind: string;
  /** @throws Failure for a table whose changes it cannot see without losing or changing anything */
  inspect(pg: Queryable, name: TableName, options: CaptureOptions): Promise<Inspection>;
  /**
   * Called before anything is made or replaced. Absent: it makes nothing that could be another table's.
   * @param before the table as an earlier attempt left it
   * @throws Failure `LedgerSetBack` where what `install` would make is there, and no earlier attempt can have made it
   */
  refuseLeftovers?(pg: Queryable, table: ReplicatedTable, before: ReplicatedTable | undefined): Promise<void>;
  /**
   * Makes what it needs in PostgreSQL. Idempotent. Every change that commits after its return is captured.
   * @param pg a connection of its own, not a pool
   * @returns what the table is, as text, for the ledger to keep and the source to compare: of a moment at which it was as `table` says
   */
  install(pg: Queryable, table: ReplicatedTable, options?: DdlOptions): Promise<string>;
  /**
   * Replaces what an older release made and would fail users' writes, where the table is not drained: paused, or held up. Draining
   * does the same. Absent: nothing of it ages.
   * @returns whether anything was replaced
   */
  renew?(pg: ClientBase, ledger: Queryable, table: ReplicatedTable): Promise<boolean>;
  /** Takes away what `install` made, also half of it. Idempotent. */
  remove(
    pg: Queryable,
    table: Pick<ReplicatedTable, 'id' | 'name'> & Partial<Pick<ReplicatedTable, 'owner'>>,
    options?: DdlOptions,
  ): Promise<void>;
  /** What `install` makes for it, as text: where that is the same, what an earlier attempt made may stay. */
  installationOf(table: ReplicatedTable): string;
  /** A position, decimal, below that of every change that is captured from now on, and on disk. A copy carries it as its version. */
  allocatePosition(pg: Queryable, table: ReplicatedTable): Promise<string>;
  /**
   * For what sees inserts only: the position to begin at on a table whose rows are all in the target. It may lie a little before the
   * newest rows, which are then read again. Absent: it cannot begin in the middle.
   */
  startFromNow?(pg: Queryable, table: ReplicatedTable): Promise<object>;
  /** What waits, by table id, in a number of round trips that does not grow with the tables. Absent: nobody can tell. @param slots where replication slots are, if not in `pg` */
  backlog?(
    pg: Queryable,
    tables: readonly CapturedTable[],
    slots?: Queryable,
  ): Promise<ReadonlyMap<string, CaptureBacklog>>;
  /** Absent: it fills no outbox. */
  readonly sharing?: OutboxSharing;
  /** Its changes on their way to a topic, as batches of a stage that was claimed. */
  open(services: CaptureServices, stage: StageContext, content: RowContent): BatchSource<BatchName, RowBatch>;
  /** Its changes on their way straight to ClickHouse. Absent: it needs a topic. */
  openStream?(
    services: CaptureServices,
    stage: StageContext,
    content: StreamContent,
  ): BatchSource<BatchName, RowStream>;
}
