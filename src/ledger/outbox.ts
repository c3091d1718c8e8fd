import type { Queryable } from '../connect/queryable.js';
import type { OutboxBatch } from '../domain/batch.js';
import { fenced, query } from './query.js';
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
  /** The next batch, whose name is in the ledger; undefined when nothing waits. */
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
 * @param part where it is searched, by `seq`: above the low-water, to the end, by default
 * @throws Failure `Fenced`; `OutboxInconsistent` when other events than those read are there
 */
export async function advanceOutbox(
  pg: Queryable,
  claim: StageClaim,
  moved: MovedEvents | null,
  limit: number,
  part: { readonly after?: bigint; readonly upTo?: bigint } = {},
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
      from pg2click.advance_outbox($1, $2, $3, $4::jsonb, $5, $6, $7)`,
    [
      claim.tableId,
      claim.stage,
      claim.epoch,
      moved === null ? null : JSON.stringify(moved),
      limit,
      part.after?.toString() ?? null,
      part.upTo?.toString() ?? null,
    ],
  );
  const row = advanced.rows[0];
  return {
    next: row?.pending ?? undefined,
    lastAllocated: row?.lastAllocated ?? undefined,
    lowWater: row?.lowWater ?? '0',
    tookMs: Number(row?.tookMs ?? 0),
  };
}

/**
 * Confirms a batch of an outbox in another database, and keeps its name as `deleting`: its events are deleted afterwards.
 * @throws Failure `Fenced`
 */
export async function confirmOutbox(
  ledger: Queryable,
  claim: StageClaim,
  { batch, rows, bytes, proof }: Omit<MovedEvents, 'events'>,
): Promise<void> {
  const changed = await query(
    ledger,
    /* sql */ `update pg2click.stage
      set batch = $4, proof = $5::jsonb, deleting = pending,
          position = jsonb_build_object('last', greatest((position ->> 'last')::bigint, (pending ->> 'last')::bigint)::text),
          pending = null, rows = rows + $6, bytes = bytes + $7, updated_at = now()
      where table_id = $1 and stage = $2 and epoch = $3 and batch = $4::bigint - 1 and (pending ->> 'batch')::bigint = $4`,
    [claim.tableId, claim.stage, claim.epoch, batch, proof === undefined ? null : JSON.stringify(proof), rows, bytes],
  );
  if (changed.rowCount !== 1) fenced(claim.stage);
}

/**
 * A snapshot that sees nothing: confirming a batch of it deletes no event, and does not say that those before its last one are gone.
 */
const SEES_NOTHING = '1:1:';

/**
 * Names a batch of rows that the outbox has no events of. Its positions are allocated from the sequence of the outbox.
 * @param batch with the generation and the shape that its rows were made for
 * @throws Failure `Fenced`, also where the table has another shape by now: a copy that reads rows again because of it may have a lower position
 */
export async function nameStreamed(
  ledger: Queryable,
  claim: StageClaim,
  { batch, generation, shape, first, last }: Omit<OutboxBatch, 'snapshot'>,
): Promise<OutboxBatch> {
  const name = { batch, generation, shape, first, last, snapshot: SEES_NOTHING, events: 0, streamed: true };
  const named = await query<{ pending: OutboxBatch }>(
    ledger,
    /* sql */ `update pg2click.stage s set pending = $4::jsonb, deleting = null, updated_at = now()
      from pg2click.replicated_table t
      where s.table_id = $1 and s.stage = $2 and s.epoch = $3 and t.id = s.table_id and t.generation = $5 and t.shape = $6
        and s.pending is null and s.batch = $7::bigint - 1
      returning s.pending`,
    [claim.tableId, claim.stage, claim.epoch, JSON.stringify(name), generation, shape, batch],
  );
  return named.rows[0]?.pending ?? fenced(claim.stage);
}

/**
 * Forgets the name of a batch whose rows were in the memory of an earlier attempt. That there was one stays in the position until the
 * batch of this number is confirmed: a part of it may have been sent.
 * @throws Failure `Fenced`
 */
export async function forgetStreamed(ledger: Queryable, claim: StageClaim): Promise<void> {
  const changed = await query(
    ledger,
    /* sql */ `update pg2click.stage set pending = case when pending ? 'streamed' then null else pending end,
        position = case when pending ? 'streamed' then position || jsonb_build_object('forgotten', pending -> 'batch')
          else position end
      where table_id = $1 and stage = $2 and epoch = $3`,
    [claim.tableId, claim.stage, claim.epoch],
  );
  if (changed.rowCount !== 1) fenced(claim.stage);
}

/**
 * Names the batch after the last confirmed one, whose events are deleted by now.
 * @param found what the outbox has; the ledger adds generation and shape
 * @param lowWater of the outbox: a lower bound for displays
 * @throws Failure `Fenced`
 */
export async function nameOutbox(
  ledger: Queryable,
  claim: StageClaim,
  found: Omit<OutboxBatch, 'generation' | 'shape'>,
  lowWater: string,
): Promise<OutboxBatch> {
  const named = await query<{ pending: OutboxBatch }>(
    ledger,
    /* sql */ `update pg2click.stage s
      set pending = $4::jsonb || jsonb_build_object('generation', t.generation, 'shape', t.shape), deleting = null,
          low_water = $5, updated_at = now()
      from pg2click.replicated_table t
      where s.table_id = $1 and s.stage = $2 and s.epoch = $3 and t.id = s.table_id
        and s.pending is null and s.batch = ($4::jsonb ->> 'batch')::bigint - 1
      returning s.pending`,
    [claim.tableId, claim.stage, claim.epoch, JSON.stringify(found), lowWater],
  );
  return named.rows[0]?.pending ?? fenced(claim.stage);
}
