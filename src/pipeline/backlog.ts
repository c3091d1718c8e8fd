/** What waits for the source of a stage, as it can be seen from outside: no slice need run. */
export interface SourceBacklog {
  /** Changes that wait, the batch in hand among them: exact, or an upper bound where there are many. Null: not known. */
  readonly waiting: number | null;
  /** Everything that came to the source has a position up to here; what is done, one up to `done`. */
  readonly newest: bigint;
  readonly done: bigint;
}
