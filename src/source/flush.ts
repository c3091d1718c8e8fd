import { classifyPostgres } from '../failure/classify-postgres.js';
import type { Queryable } from '../connect/queryable.js';

/** Whether all that is visible now is on disk. The flushed position is taken first: were the other one older, it could be too small. */
export const IS_FLUSHED = /* sql */ `select pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn() as flushed`;

/**
 * Returns once everything that was visible in the source before the call is on its disk.
 *
 * A writer with `synchronous_commit = off` is visible before its commit is flushed. Sent to Kafka and then lost in a crash,
 * its row would never be taken back, and its `seq` would be given out a second time. Where the log is flushed less far
 * than it is written, one record of ours is committed synchronously: that flushes all before it, in about 1 ms.
 * @param pg another connection than the one that reads, or a pool
 * @throws Failure `SourceUnavailable` and its like
 */
export async function ensureFlushed(pg: Queryable): Promise<void> {
  try {
    const behind = await pg.query<{ flushed: boolean }>(IS_FLUSHED);
    if (behind.rows[0]?.flushed !== true) await commitSynchronously(pg);
  } catch (error) {
    throw classifyPostgres(error, 'waiting until the source is on disk');
  }
}

/**
 * An xid alone would not do: a transaction that wrote nothing to the log is not flushed. A logical message writes, needs no
 * table and no wal_level, and decodes to nothing unless one asks for messages. One message of two statements is one
 * transaction, and needs no rollback on a pool when it fails.
 */
async function commitSynchronously(pg: Queryable): Promise<void> {
  await pg.query(/* sql */ `set local synchronous_commit = on;
    select pg_logical_emit_message(true, 'pg2click', '')`);
}
