/**
 * A part of a ClickHouse table that was seen, with what is needed to find out later whether its rows are still there. Numbers are
 * decimal.
 */
export interface Part {
  readonly name: string;
  /** The folder of its table: a table that was created again has another. */
  readonly home: string;
  /** The path in Keeper that its table shares with replicas whose folders have other names; '' for none. Parts of older releases do not say. */
  readonly keeper?: string;
  /** The server that keeps it, where `keeper` is one. */
  readonly server?: string;
  readonly partition: string;
  /** The inserts in it, by ClickHouse's own numbers. A merge covers all numbers of its sources. */
  readonly firstBlock: string;
  readonly lastBlock: string;
  /** The newest mutation that it went through. */
  readonly mutation: string;
  readonly hash: string;
  /** The highest version in it. */
  readonly highest: string;
  /**
   * Of a part of a copy that is done: the last block of its partition when it was seen. What came later lies behind it, and nothing
   * with the version of the copy is inserted any more.
   */
  readonly until?: string;
}
