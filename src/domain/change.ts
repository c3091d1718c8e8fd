/**
 * A change on its way from the drain to Kafka: bytes, never a parsed row. The value is one flat JSON object without raw
 * newlines: the row's columns and `_version`, `_deleted`; for a tombstone the key columns only.
 */
export interface Change {
  readonly kind: 'row' | 'truncate';
  /** Compact JSON array of the key columns in key order, as UTF-8; empty for a truncate mark. */
  readonly key: Buffer;
  readonly value: Buffer;
  /** Highest `seq` of this key in the batch, decimal: the major part of its version. */
  readonly seq: string;
}
