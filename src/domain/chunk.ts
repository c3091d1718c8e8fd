import type { BatchName } from './batch.js';

/**
 * Blocks of one heap: of the table itself, or of one of its partitions. A row that an UPDATE moves between two blocks while the chunks
 * are read has an event above the copy's position: whether it is read twice or not at all does not matter.
 */
export interface BlockRange {
  readonly kind: 'blocks';
  /** `pg_class.oid` of the heap, decimal. */
  readonly relation: string;
  /** `pg_relation_filenode` when the range was planned, decimal: a VACUUM FULL moves rows without an event, and gives another file. */
  readonly file: string;
  readonly from: number;
  /** Exclusive. What was added behind the last block since has events of its own. */
  readonly to: number;
}

/** Texts of the key columns, in key order, as PostgreSQL prints them. */
export type KeyTexts = readonly string[];

/** Rows by their key, in the order of PostgreSQL: that of the key's index. */
export interface KeyRange {
  readonly kind: 'keys';
  /**
   * Texts are in the order of their UTF-8 bytes instead, as ClickHouse compares them: with collation "C". Where the column has another
   * collation, no index answers that.
   */
  readonly bytewise?: boolean;
  /** The first one; null: from the beginning. */
  readonly from: KeyTexts | null;
  /** The first one behind it; null: to the end. */
  readonly to: KeyTexts | null;
}

/** A table that cannot be cut: all of it at once. */
export interface WholeTable {
  readonly kind: 'whole';
}

export type ChunkRange = BlockRange | KeyRange | WholeTable;

/** A part of a copy that is read in one transaction, inserted and confirmed by itself. */
export interface Chunk {
  /** From 1, unique within the copy. */
  readonly chunk: number;
  readonly range: ChunkRange;
  /** On the disk of PostgreSQL, an estimate: heap and TOAST. */
  readonly bytes: number;
}

/** A chunk as the loop of a stage has it. */
export interface ChunkBatch extends BatchName {
  /** The allocated position, the version of every copied row. Decimal. */
  readonly position: string;
  readonly range: ChunkRange;
}

/** How far a copy has come. */
export interface CopyProgress {
  readonly chunks: number;
  readonly chunksDone: number;
  readonly rows: number;
  /** On the disk of PostgreSQL: of all chunks, and of those that are done. */
  readonly bytes: number;
  readonly bytesDone: number;
}

/** The same, with how fast it went: over the chunks that were done in the last minute. */
export interface CopyPace extends CopyProgress {
  /** Null before a chunk was done, or where none was for a minute. */
  readonly rowsPerSecond: number | null;
  readonly secondsLeft: number | null;
}
