import type { Queryable } from '../connect/queryable.js';
import type { OutboxBatch } from '../domain/batch.js';
import { query } from './query.js';
import type { StageClaim } from './stages.js';

/** A batch of outbox events that was moved: `events` outbox rows were read for it. */
export interface MovedEvents {
  readonly batch: number;
  readonly events: number;
  readonly rows: number;
  readonly bytes: number;
  readonly proof?: unknown;
}

export interface OutboxAdvance {
  /** The next batch, already journalled; undefined when nothing waits. */
  readonly next: OutboxBatch | undefined;
  /** Last `seq` allocated, decimal. */
  readonly lastAllocated: string | undefined;
  /** Nothing at or below it can appear any more, decimal: where to search for events from. */
  readonly lowWater: string;
  /** By the clock of PostgreSQL: what waits for a connection has cost nobody anything. */
  readonly tookMs: number;
}

/**
 * Confirms the batch that was moved (its events are deleted, as many as were read) and names the next one: one round trip,
 * one synchronous commit. That commit also flushes every event the new name can see.
 * @param limit outbox rows in the next batch at most; 0 confirms only
 * @throws Failure `Fenced`; `OutboxInconsistent` when other events than those read are there
 */
export async function advanceOutbox(
  pg: Queryable,
  claim: StageClaim,
  moved: MovedEvents | null,
  limit: number,
): Promise<OutboxAdvance> {
  const advanced = await query<{
    pending: OutboxBatch | null;
    lastAllocated: string | null;
    lowWater: string;
    tookMs: number;
  }>(
    pg,
    /* sql */ `select pending, last_drawn::text as "lastAllocated", low_water::text as "lowWater",
        (extract(epoch from clock_timestamp() - statement_timestamp()) * 1000)::float8 as "tookMs"
      from pg2click.advance_outbox($1, $2, $3, $4::jsonb, $5)`,
    [claim.tableId, claim.stage, claim.epoch, moved === null ? null : JSON.stringify(moved), limit],
  );
  const row = advanced.rows[0];
  return {
    next: row?.pending ?? undefined,
    lastAllocated: row?.lastAllocated ?? undefined,
    lowWater: row?.lowWater ?? '0',
    tookMs: Number(row?.tookMs ?? 0),
  };
}
