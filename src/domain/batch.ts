/**
 * A batch is named, then moved, then confirmed. The name is an immutable range: a retry rebuilds the batch from it alone.
 * Batch numbers count from 1 per table and stage, without gaps.
 */
export interface OutboxBatch {
  readonly batch: number;
  readonly generation: number;
  /** Decimal strings of bigint: the `seq` of the first and the last event, inclusive. */
  readonly first: string;
  readonly last: string;
  /** `pg_snapshot` text: the batch holds the events of the range that this snapshot sees, no others. */
  readonly snapshot: string;
}

/** Offsets of one partition, inclusive, decimal strings. */
export interface OffsetRange {
  readonly first: string;
  readonly last: string;
}

export interface OffsetBatch {
  readonly batch: number;
  readonly generation: number;
  /** By partition number. */
  readonly ranges: Readonly<Record<string, OffsetRange>>;
}

/** Where loading stands: by partition number the next offset to read, and the header of the record before it. */
export interface LoadPosition {
  readonly offsets: Readonly<Record<string, string>>;
  /** Text of the batch header of the record at `offset - 1`: read again at the start of a slice, it tells a topic made anew. */
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * The deduplication token of a load batch: table, generation, batch number and ranges. Only for content that a retry
 * reproduces byte for byte, which a range of offsets does.
 */
export function loadToken(table: { pipeline: string; id: string }, batch: OffsetBatch): string {
  const ranges = Object.entries(batch.ranges)
    .toSorted(([a], [b]) => Number(a) - Number(b))
    .map(([partition, { first, last }]) => `${partition}:${first}-${last}`);
  return `pg2click/${table.pipeline}/${table.id}/${batch.generation}/${batch.batch}/${ranges.join(',')}`;
}
