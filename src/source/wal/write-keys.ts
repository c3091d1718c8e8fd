import { DatabaseError, type ClientBase } from 'pg';
import { Failure } from '../../failure/failure.js';
import { keyColumn, outboxTable } from '../outbox/names.js';
import { inTransaction } from '../transaction.js';
import { copyIn } from './copy-in.js';
import { heldBy } from './held-by-table.js';
import { KeyLines } from './key-lines.js';
import { formatLsn, type Lsn } from './lsn.js';
import type { LogRelation } from './log/log-changes.js';
import { markLog, writeLog } from './log/write-log.js';
import type { PendingChanges } from './pending-changes.js';
import { waitUntilVisible, type WaitOptions } from './visible.js';

/**
 * A synchronous commit: the WAL of these keys is acknowledged after it. Each statement has a snapshot of its own, whatever the role's
 * default is. One that freezes in the middle lets its locks go, and one that waits for a lock says so.
 */
export const BEGIN_WRITING = /* sql */ `begin isolation level read committed; set local synchronous_commit = on;
  set local idle_in_transaction_session_timeout = '30s'; set local lock_timeout = '30s'`;

/** PostgreSQL says that a value is not of its column's type, or not in its domain: class 22 and 23. */
const UNFIT = /^2[23]/u;

/** Who writes keys, and in whose name. */
export interface KeyWriter {
  readonly pg: ClientBase;
  readonly slot: string;
  /** Decimal. */
  readonly epoch: string;
}

/**
 * Writes keys into the outboxes and notes up to where the WAL was read, in one transaction: after a crash the slot begins before it, and
 * what is there already is left out. Of a transaction that is here in part the position says nothing: its keys come again, which does no
 * harm, because a key is only read again.
 *
 * Nobody sees a key before everybody sees what changed it.
 * @throws Failure `Fenced` where another reader has taken over, or a table was added or removed
 * @throws HeldByTable
 */
export async function writeKeys(writer: KeyWriter, keys: PendingChanges, options: WaitOptions): Promise<void> {
  const marked = new Set<LogRelation>();
  for (;;) {
    const unfit = await tryToWrite(writer, keys, marked, options);
    if (unfit === undefined) return;
    if (unfit.log !== undefined) {
      marked.add(unfit.log);
      continue;
    }
    // Its key has another type by now: its drain says so, and parks it.
    const { id, columns } = unfit;
    const lines = new KeyLines(columns);
    lines.mark('x');
    keys.tables.set(id, lines);
  }
}

interface Unfit {
  readonly id: string;
  readonly columns: number;
  readonly log?: LogRelation;
}

/** @returns the table whose keys do not fit into its outbox: nothing was written then */
async function tryToWrite(
  { pg, slot, epoch }: KeyWriter,
  keys: PendingChanges,
  marked: ReadonlySet<LogRelation>,
  options: WaitOptions,
): Promise<Unfit | undefined> {
  const at: { table?: Unfit | undefined } = {};
  try {
    await inTransaction(pg, BEGIN_WRITING, async () => {
      // First: it gives the transaction its xid before any `seq` is allocated, and stands in the way of who adds a table.
      await note({ pg, slot, epoch }, keys.end);
      await waitUntilVisible(pg, keys.xids, options);
      for (const [id, lines] of keys.tables) {
        if (lines.rows === 0) continue;
        at.table = { id, columns: lines.columns };
        const names = Array.from({ length: lines.columns }, (_, index) => keyColumn(index));
        await copyIn(pg, /* sql */ `copy ${outboxTable(id)} (mark, ${names.join(', ')}) from stdin`, lines.text);
      }
      for (const [log, lines] of keys.logs) {
        at.table = { id: lines.id, columns: 0, log };
        await (marked.has(log) ? markLog(pg, lines) : writeLog(pg, lines));
      }
      at.table = undefined;
    });
    return undefined;
  } catch (error) {
    if (at.table !== undefined && error instanceof DatabaseError && UNFIT.test(error.code ?? '')) return at.table;
    throw heldBy(at.table?.id, error);
  }
}

/** @param position undefined where only a part of a transaction was read. @throws Failure `Fenced` */
export async function note({ pg, slot, epoch }: KeyWriter, position: Lsn | undefined): Promise<void> {
  const noted = await pg.query(
    /* sql */ `update pg2click.wal_reader set position = greatest(position, $3::pg_lsn) where slot = $1 and epoch = $2`,
    [slot, epoch, position === undefined ? '0/0' : formatLsn(position)],
  );
  if (noted.rowCount === 1) return;
  throw new Failure('Fenced', {
    message: `The replication slot ${slot} has another reader by now, or a table was added or removed.`,
  });
}
