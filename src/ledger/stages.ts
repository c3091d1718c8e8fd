import type { Queryable } from '../connect/queryable.js';
import type { BatchName } from '../domain/batch.js';
import type { StageId } from '../domain/route.js';
import { fenced, query } from './query.js';

/**
 * A stage as the ledger has it. The stage's source decides what is in `position` and `pending`, its writer what is in `proof`; the
 * ledger keeps them as JSON.
 */
export interface StageRow<Position = unknown, Name extends BatchName = BatchName> {
  readonly stage: StageId;
  readonly epoch: string;
  readonly owner: string;
  /** The last confirmed batch. */
  readonly batch: number;
  readonly position: Position;
  /** The name of `batch + 1`, or null. */
  readonly pending: Name | null;
  /** Only where an outbox lies in another database: name of `batch`, whose events may still be there; or null. */
  readonly deleting: Name | null;
  /** What the writer saw at its end of the path when the last batch was confirmed. */
  readonly proof: unknown;
  /** For stages that drain an outbox: nothing at or below it can appear in the outbox any more. Decimal. */
  readonly lowWater: string;
  /** Moved since the table was added. Decimal. */
  readonly rows: string;
}

const COLUMNS = `stage, epoch::text, owner, batch::int, position, pending, deleting, proof, low_water::text as "lowWater", rows::text`;

export async function readStages(pg: Queryable, tableId: string): Promise<StageRow[]> {
  const found = await query<StageRow>(
    pg,
    /* sql */ `select ${COLUMNS} from pg2click.stage where table_id = $1 order by stage`,
    [tableId],
  );
  return found.rows;
}

/** The right to work on a stage. Every statement of the slice carries this epoch. */
export interface StageClaim {
  readonly tableId: string;
  readonly stage: StageId;
  readonly epoch: string;
}

/**
 * Claims a stage: from here on every older attempt is fenced. If a frozen attempt claims late, it fences the current one, which
 * then claims again: to be fenced is never final.
 * @throws Failure `Fenced` if the table has no such stage: it was removed
 */
export async function claimStage<Row extends StageRow>(
  pg: Queryable,
  { tableId, stage, owner }: { readonly tableId: string; readonly stage: StageId; readonly owner: string },
): Promise<Row> {
  const claimed = await query<Row>(
    pg,
    /* sql */ `update pg2click.stage set epoch = epoch + 1, owner = $3
      where table_id = $1 and stage = $2 returning ${COLUMNS}`,
    [tableId, stage, owner],
  );
  return claimed.rows[0] ?? fenced(stage);
}

/** @throws Failure `Fenced` where another attempt has claimed the stage */
export async function requireClaim(pg: Queryable, claim: StageClaim): Promise<void> {
  const found = await query(
    pg,
    /* sql */ `select from pg2click.stage where table_id = $1 and stage = $2 and epoch = $3`,
    [claim.tableId, claim.stage, claim.epoch],
  );
  if (found.rowCount !== 1) fenced(claim.stage);
}

/** A batch that was moved, with what is recorded about it. */
export interface ConfirmedBatch {
  readonly batch: number;
  readonly position: unknown;
  readonly proof: unknown;
  readonly rows: number;
  readonly bytes: number;
}

/**
 * Confirms a batch and names the next one, in one statement: a compare-and-set on epoch and batch number. Stages that drain an
 * outbox of the same database use `advanceOutbox` instead.
 * @param confirmed null to name only; @param next null to confirm only
 * @throws Failure `Fenced` when another attempt took over
 */
export async function advanceStage(
  pg: Queryable,
  claim: StageClaim,
  confirmed: ConfirmedBatch | null,
  next: BatchName | null,
): Promise<void> {
  const name = next === null ? null : JSON.stringify(next);
  const changed =
    confirmed === null
      ? await query(
          pg,
          /* sql */ `update pg2click.stage set pending = $4::jsonb, updated_at = now()
            where table_id = $1 and stage = $2 and epoch = $3 and pending is null
            and batch = ($4::jsonb ->> 'batch')::bigint - 1`,
          [claim.tableId, claim.stage, claim.epoch, name],
        )
      : await query(
          pg,
          /* sql */ `update pg2click.stage
            set batch = $4, position = $5::jsonb, proof = $6::jsonb, pending = $7::jsonb,
                rows = rows + $8, bytes = bytes + $9, updated_at = now()
            where table_id = $1 and stage = $2 and epoch = $3 and batch = $4::bigint - 1
            and (pending ->> 'batch')::bigint = $4`,
          [
            claim.tableId,
            claim.stage,
            claim.epoch,
            confirmed.batch,
            JSON.stringify(confirmed.position),
            confirmed.proof === undefined ? null : JSON.stringify(confirmed.proof),
            name,
            confirmed.rows,
            confirmed.bytes,
          ],
        );
  if (changed.rowCount !== 1) fenced(claim.stage);
}

/** Adds fields to the position of a stage. @throws Failure `Fenced` */
export function notePosition(pg: Queryable, claim: StageClaim, fields: object): Promise<void> {
  return updateClaimed(pg, claim, /* sql */ `position = position || $4::jsonb`, [JSON.stringify(fields)]);
}

/**
 * Sets the stage back to an earlier position: what was named is forgotten, and what was proven since. Batch numbers go on.
 * @throws Failure `Fenced`
 */
export function setStageBack(pg: Queryable, claim: StageClaim, position: object): Promise<void> {
  const set = /* sql */ `position = $4::jsonb, pending = null, proof = null, updated_at = now()`;
  return updateClaimed(pg, claim, set, [JSON.stringify(position)]);
}

/** Takes a `FlowGoal` out of the position of a stage. @throws Failure `Fenced` */
export function forgetGoal(pg: Queryable, claim: StageClaim): Promise<void> {
  return updateClaimed(pg, claim, /* sql */ `position = position - '{captured,ends}'::text[]`);
}

/** @param set what is assigned; `values` are its parameters from $4 on. @throws Failure `Fenced` */
async function updateClaimed(
  pg: Queryable,
  claim: StageClaim,
  set: string,
  values: readonly unknown[] = [],
): Promise<void> {
  const changed = await query(
    pg,
    /* sql */ `update pg2click.stage set ${set} where table_id = $1 and stage = $2 and epoch = $3`,
    [claim.tableId, claim.stage, claim.epoch, ...values],
  );
  if (changed.rowCount !== 1) fenced(claim.stage);
}
