import type { MessageBatch } from '../../domain/logical-message.js';
import { KeyLines } from './key-lines.js';
import { LogLines } from './log/log-lines.js';
import type { LogRelation } from './log/log-changes.js';
import type { Lsn } from './lsn.js';
import type { HandOver } from './rows/hand-over.js';
import type { RowPlaces } from './rows/row-plan.js';
import type { TupleBatch } from './rows/tuple-batch.js';

/** What was read from the stream and is on its way to where it belongs. */
export class PendingChanges {
  /** By table id. */
  readonly tables = new Map<string, KeyLines>();
  /** Rows that go straight to the stages of their tables, and not by key. */
  readonly rows = new Map<HandOver, TupleBatch>();
  /** Tables with a TRUNCATE, which gets its position with the keys: rows behind it would get lower ones, and be hidden by it. */
  readonly truncated = new Set<string>();
  /** Changes of tables of which every change is kept, in the order in which forms of them came. */
  readonly logs = new Map<LogRelation, LogLines>();
  /** Absent: none came. */
  messages: MessageBatch | undefined;
  /** Of the transactions whose keys these are, 32 bits each. */
  readonly xids = new Set<number>();
  /** End of the last transaction that is here as a whole; undefined where none is. */
  end: Lsn | undefined;

  get isEmpty(): boolean {
    return this.tables.size === 0 && this.rows.size === 0 && this.logs.size === 0 && this.messages === undefined;
  }

  linesOfLog(relation: LogRelation): LogLines {
    let lines = this.logs.get(relation);
    if (lines === undefined) this.logs.set(relation, (lines = new LogLines(relation.id, relation.columns)));
    return lines;
  }

  /** @param columns of the key */
  linesOf(id: string, columns: number): KeyLines {
    let lines = this.tables.get(id);
    if (lines === undefined) this.tables.set(id, (lines = new KeyLines(columns)));
    return lines;
  }

  rowsOf(handOver: HandOver, places: RowPlaces): TupleBatch {
    let rows = this.rows.get(handOver);
    if (rows === undefined) this.rows.set(handOver, (rows = handOver.emptyBatch(places)));
    return rows;
  }
}
