import type { TargetTable } from './replicated-table.js';

/**
 * A batch is named, then moved, then confirmed. A name never changes: a retry rebuilds the batch from the name alone. Batch numbers
 * count from 1 for each table and stage, without gaps.
 */
export interface BatchName {
  readonly batch: number;
  readonly generation: number;
  /** The shape of the rows in it. Absent means 1: in names of releases that had no shapes. */
  readonly shape?: number;
  /** Rows of it that are in quarantine and are not inserted, whatever would become of them now: see `holeOf`. Absent: none. */
  readonly holes?: readonly string[];
}

/** Events of an outbox. */
export interface OutboxBatch extends BatchName {
  /** Decimal strings of bigint: the `seq` of the first and the last event, inclusive. */
  readonly first: string;
  readonly last: string;
  /** `pg_snapshot` as text: of the range, the batch holds the events that this snapshot sees. */
  readonly snapshot: string;
  /** How many events these are; absent where the ledger lies in the database of the outbox, which counts when it deletes them. */
  readonly events?: number;
  /** Where its events were searched, not from the low-water on: there may be others before them. */
  readonly after?: string;
  /**
   * Its rows come from the WAL in memory and not from the outbox, which has no event of it. With the attempt that named it the rows are
   * gone, and read from the WAL again under other positions: its name is forgotten.
   */
  readonly streamed?: true;
}

/** Whole numbers, inclusive, decimal strings. */
export type IdRange = readonly [first: string, last: string];

/** Rows of a table that only grows, by the column that numbers them: rows that were there when the batch was named. */
export interface RangeBatch extends BatchName {
  /** In ascending order. A number between two of them had no row then. */
  readonly ids: readonly IdRange[];
}

/** Offsets of one partition, inclusive, decimal strings. */
export interface OffsetRange {
  readonly first: string;
  readonly last: string;
}

/** A message of a topic. */
export interface MessagePlace {
  readonly partition: number;
  readonly offset: number;
}

/** Offsets of a topic. */
export interface OffsetBatch extends BatchName {
  /** By partition number. */
  readonly ranges: Readonly<Record<string, OffsetRange>>;
  /** How often the loader had gone back to earlier offsets: what ClickHouse remembers of a lost insert must not hide another. Absent: never. */
  readonly returns?: number;
}

/** A copy of a whole table. */
export interface CopyBatch extends BatchName {
  /** The allocated position, the version of every copied row. Decimal. */
  readonly position: string;
}

/**
 * The deduplication token of a load batch: table, stage, target, generation, batch number and ranges. Only for content that a retry
 * reproduces byte for byte, as a range of offsets does. Stage and target are in it because two loaders of a table may name the
 * same range, and views of both targets may fill one table, which takes the token of the insert that feeds it.
 * @param stage a replay adds the id of its request: one that is asked for again must not be taken for a repeat
 */
export function loadToken(table: TokenOwner, stage: string, batch: OffsetBatch): string {
  const { database, table: name } = table.target;
  const ranges = Object.entries(batch.ranges)
    .toSorted(([a], [b]) => Number(a) - Number(b))
    .map(([partition, { first, last }]) => `${partition}:${first}-${last}`);
  const { generation, batch: number, returns } = batch;
  return `pg2click/${table.pipeline}/${table.id}/${stage}/${database}.${name}/${generation}/${number}/${ranges.join(',')}${returns === undefined ? '' : `/${returns}`}`;
}

type TokenOwner = Pick<TargetTable, 'pipeline' | 'id' | 'target'>;
