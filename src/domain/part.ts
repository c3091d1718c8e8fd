/**
 * A part of a ClickHouse table that was seen, with all that is needed to find out later whether what was in it is still there.
 * Numbers are decimal.
 */
export interface Part {
  readonly name: string;
  /** The folder of its table: a table made anew has another. */
  readonly home: string;
  readonly partition: string;
  /** The inserts that it is made of, by ClickHouse's own count. A merge covers all that its sources covered. */
  readonly firstBlock: string;
  readonly lastBlock: string;
  /** The newest mutation that it went through. */
  readonly mutation: string;
  readonly hash: string;
  /** The highest version in it. */
  readonly highest: string;
}
