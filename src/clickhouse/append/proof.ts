/** The `proof` of a stage that writes to a plain MergeTree: what must still be there. */
export interface AppendProof {
  /** The column that numbers the rows. */
  readonly column: string;
  /** The highest id that was confirmed, decimal; absent where it is not sure that a row had it. */
  readonly last?: string;
  /**
   * The highest id when the target was last verified. `last` alone is not enough: a table that was emptied and then got one more batch
   * holds the last one.
   */
  readonly witness?: string;
  /** Where materialized views hang on the target: the highest block number of each table that an insert fills, by its UUID. */
  readonly blocks?: Readonly<Record<string, number>>;
}
