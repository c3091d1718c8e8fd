import type { Queryable } from '../connect/queryable.js';
import { query } from './query.js';

/** The rows of `pg2click.stage` that copy the table, for any loader. */
const COPIES = /* sql */ `table_id = $1 and (stage = 'copy' or stage like 'copy:%')`;
/** The row of a replay stays when the replay has ended, and nothing runs it then. */
const OF_REPLAY = /* sql */ `stage like 'copy:replay-%'`;

/**
 * Lets every target be copied again, and remembers the fingerprint of which that is the answer: in one statement, so that neither is
 * there without the other. A copy that runs is fenced: what it has read may be gone.
 */
export async function orderCopies(pg: Queryable, tableId: string, fingerprint: string): Promise<void> {
  await query(
    pg,
    /* sql */ `with known as (update pg2click.replicated_table set fingerprint = $2 where id = $1),
        plan as (delete from pg2click.chunk where ${COPIES})
      update pg2click.stage set epoch = epoch + 1, position = '{"again": true}', pending = null, rows = 0, bytes = 0,
        updated_at = now()
      where ${COPIES} and not (${OF_REPLAY} and position ? 'done')`,
    [tableId, fingerprint],
  );
}

/** Whether such a copy is not done yet. */
export async function awaitsCopy(pg: Queryable, tableId: string): Promise<boolean> {
  const found = await query<{ awaits: boolean }>(
    pg,
    /* sql */ `select exists (select from pg2click.stage
      where ${COPIES} and not ${OF_REPLAY} and position ? 'again' and not position ? 'done') as awaits`,
    [tableId],
  );
  return found.rows[0]?.awaits === true;
}
