import { outboxTable } from '../outbox/names.js';
import { inTransaction } from '../transaction.js';
import { heldBy } from './held-by-table.js';
import type { Lsn } from './lsn.js';
import type { PendingChanges } from './pending-changes.js';
import type { HandOver, RowOffer } from './rows/hand-over.js';
import type { TupleBatch } from './rows/tuple-batch.js';
import { Tuple } from './tuple.js';
import { waitUntilVisible, type WaitOptions } from './visible.js';
import { BEGIN_WRITING, note, type KeyWriter } from './write-keys.js';

/** One is enough where nobody else takes positions, and a copy takes one. */
const MOST_TRIES = 3;

/**
 * Gives whole rows to the stages that take them, and waits until they are where they belong. Those that are not taken, or not confirmed in
 * time, become keys of `pending`. Their positions are of the sequence of the
 * outbox, as those of keys, and in the order of the commits. They are allocated
 * - after everybody sees the rows: a copy that takes its position after that reads them, and one that took it before is lower;
 * - under the row of `wal_reader`, by the epoch that reads: who reads after this one reads the same rows again, and gives them higher ones.
 * @param position that is noted on the way: all before it is in the outboxes, or was confirmed
 * @throws Failure `Fenced`
 * @throws HeldByTable
 */
export async function giveRows(
  writer: KeyWriter,
  pending: PendingChanges,
  position: Lsn | undefined,
  options: WaitOptions,
): Promise<void> {
  const offers: [HandOver, RowOffer | undefined, TupleBatch][] = [];
  await inTransaction(writer.pg, BEGIN_WRITING, async () => {
    await note(writer, position);
    await waitUntilVisible(writer.pg, pending.xids, options);
    for (const [handOver, batch] of pending.rows) {
      const allocated = allocate(writer, handOver, batch).catch((error: unknown) => {
        throw heldBy(handOver.id, error);
      });
      offers.push([handOver, await allocated, batch]);
    }
  });
  // After the commit: a position that is used is never given out again, whatever happens to PostgreSQL.
  await Promise.all(
    offers.map(async ([handOver, offer, batch]) => {
      if (offer === undefined || !(await handOver.offer(offer))) addKeys(pending, handOver, batch);
    }),
  );
}

function addKeys(pending: PendingChanges, { id }: HandOver, batch: TupleBatch): void {
  const { keys } = batch.places;
  const lines = pending.linesOf(id, keys.length);
  const tuple = new Tuple();
  for (let row = 0; row < batch.rows; row++) {
    batch.read(row, tuple);
    lines.add(batch.text, tuple, keys);
  }
}

/**
 * Consecutive positions, as many as rows.
 * @returns undefined where others take positions all the time, as triggers do while the table goes from one capture to another
 */
async function allocate({ pg }: KeyWriter, { id }: HandOver, batch: TupleBatch): Promise<RowOffer | undefined> {
  for (let tries = 1; tries <= MOST_TRIES; tries++) {
    const found = await pg.query<{ first: string; last: string }>(
      /* sql */ `select min(position)::text as first, max(position)::text as last
        from (select nextval((select pg_get_serial_sequence($1, 'seq')::regclass)) as position
          from generate_series(1, $2)) allocated`,
      [outboxTable(id), batch.rows],
    );
    const [first, last] = [BigInt(found.rows[0]?.first ?? 0), BigInt(found.rows[0]?.last ?? 0)];
    // A copy may have taken one in between.
    if (last - first + 1n === BigInt(batch.rows)) return { batch, first, last };
  }
  return undefined;
}
