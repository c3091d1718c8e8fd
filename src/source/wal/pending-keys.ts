import { KeyLines } from './key-lines.js';
import type { Lsn } from './lsn.js';

/** What was read from the stream and is on its way to the outboxes. */
export class PendingKeys {
  /** By table id. */
  readonly tables = new Map<string, KeyLines>();
  /** Of the transactions whose keys these are, 32 bits each. */
  readonly xids = new Set<number>();
  /** End of the last transaction that is here as a whole; undefined where none is. */
  end: Lsn | undefined;

  get isEmpty(): boolean {
    return this.tables.size === 0;
  }

  /** @param columns of the key */
  linesOf(id: string, columns: number): KeyLines {
    let lines = this.tables.get(id);
    if (lines === undefined) this.tables.set(id, (lines = new KeyLines(columns)));
    return lines;
  }
}
