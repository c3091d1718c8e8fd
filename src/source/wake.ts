import { setTimeout as pause } from 'node:timers/promises';
import { classifyPostgres } from '../failure/classify-postgres.js';
import type { Queryable } from '../connect/queryable.js';
import { outboxTable } from './outbox-names.js';

const SHORTEST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 250;

/**
 * How long to wait between two looks at something that may be idle: 5 ms after it was busy, growing by half each
 * time to 250 ms. By half and not twofold, so that a table with some 50 changes a second stays at the short end.
 */
export class Wake {
  #pauseMs = SHORTEST_PAUSE_MS;

  busy(): void {
    this.#pauseMs = SHORTEST_PAUSE_MS;
  }

  /** The pause that is due now; the next one is longer. */
  idle(): number {
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 1.5, LONGEST_PAUSE_MS);
    return pauseMs;
  }
}

/**
 * Waits until an event is visible in the outbox.
 *
 * Polling, because a NOTIFY by the trigger would serialise the commits of all the user's writers.
 * @param options `after`: `seq` below which nothing can appear any more (the low-water): keeps the look off dead rows.
 * `wake`: its pace goes on from call to call; `timeoutMs`: how long at most, for ever by default
 * @returns false where the signal or the time ended it
 * @throws Failure `SourceUnavailable` and its like
 */
export async function waitForEvents(
  pg: Queryable,
  id: string,
  options: { signal: AbortSignal; after?: string; wake?: Wake; timeoutMs?: number },
): Promise<boolean> {
  const { signal, after = '0', wake = new Wake(), timeoutMs = Infinity } = options;
  const deadline = Date.now() + timeoutMs;
  try {
    while (!signal.aborted) {
      if (await hasEvents(pg, id, after)) {
        wake.busy();
        return true;
      }
      const left = deadline - Date.now();
      if (left <= 0) return false;
      await pause(Math.min(wake.idle(), left), undefined, { signal }).catch(() => undefined);
    }
    return false;
  } catch (error) {
    throw classifyPostgres(error, 'looking at the outbox');
  }
}

/** By the index whatever the statistics say: they are those of a table that is filled and emptied all the time. */
async function hasEvents(pg: Queryable, id: string, after: string): Promise<boolean> {
  const found = await pg.query(
    /* sql */ `select from ${outboxTable(id)} event where event.seq > $1::bigint order by event.seq limit 1`,
    [after],
  );
  return found.rowCount === 1;
}

/**
 * The last `seq` that was drawn, by an event or for a copy, committed or not.
 * @returns decimal; `0` where nothing was drawn yet
 */
export async function lastDrawn(pg: Queryable, id: string): Promise<string> {
  try {
    const found = await pg.query<{ last: string | null }>(
      /* sql */ `select pg_sequence_last_value(pg_get_serial_sequence($1, 'seq')::regclass)::text as last`,
      [outboxTable(id)],
    );
    return found.rows[0]?.last ?? '0';
  } catch (error) {
    throw classifyPostgres(error, 'looking at the outbox');
  }
}
