import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { formatTableName } from '../../domain/table-name.js';
import type { ReadOptions } from '../../pipeline/batch.js';
import { settle } from '../settle.js';
import type { PollServices } from './poll-source.js';

/** A wait that is this long is worth a line in the log, and another one as long after each. */
const LOG_AFTER_MS = 5_000;
const LOG_EVERY_MS = 60_000;

/**
 * Waits for the transactions that hold a writing lock on the table now, and says who they are: in the heartbeat from the first
 * second on, in the log, and how long, in a gauge.
 * @param wait `upTo`: the ids that are waited for, for the sentence
 * @returns false where the signal came first
 * @throws Failure `SourceUnavailable` and its like
 */
export async function settleWriters(
  { source, log, meters }: Pick<PollServices, 'source' | 'log' | 'meters'>,
  { name, pipeline, relation }: Pick<ReplicatedTable, 'name' | 'pipeline' | 'relation'>,
  { upTo, signal, onProgress }: ReadOptions & { readonly upTo: bigint },
): Promise<boolean> {
  const table = formatTableName(name);
  const labels = { pipeline, table };
  let logAt = Date.now() + LOG_AFTER_MS;
  let isShown = false;
  const onHeld = (who: string, since: number): void => {
    const seconds = (Date.now() - since) / 1_000;
    isShown = true;
    meters.set('pg2click_settle_seconds', seconds, labels);
    onProgress(`waiting ${Math.round(seconds)} s to read up to id ${upTo}: ${table} is written to by ${who}`);
    if (Date.now() < logAt) return;
    logAt = Date.now() + LOG_EVERY_MS;
    log.warn(
      { table, seconds: Math.round(seconds), holders: who },
      'an open transaction holds up the rows of this table',
    );
  };
  try {
    await settle(source, relation, { signal, onHeld });
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    throw error;
  } finally {
    if (isShown) meters.set('pg2click_settle_seconds', 0, labels);
  }
}
