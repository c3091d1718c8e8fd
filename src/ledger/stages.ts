import type { LoadPosition, OffsetBatch, OutboxBatch } from '../domain/batch.js';
import type { Part } from '../domain/part.js';
import type { Queryable } from '../connect/queryable.js';
import { query, fenced } from './query.js';

/** A stage as it stands in the ledger. `copy` is the first load. */
export interface StageRow<Position = unknown, Pending = unknown> {
  readonly stage: 'publish' | 'load' | 'copy';
  readonly epoch: string;
  readonly owner: string;
  /** The last confirmed batch. */
  readonly batch: number;
  readonly position: Position;
  /** The name of `batch + 1`, or null. */
  readonly pending: Pending | null;
  /** publish: nothing at or below it can appear in the outbox any more. Decimal. */
  readonly lowWater: string;
  /** Totals since the table was added. Decimal. */
  readonly rows: string;
  readonly bytes: string;
  readonly updatedAt: string;
}

export interface PublishPosition {
  /** Last `seq` of the last confirmed batch, decimal; absent before the first. */
  readonly last?: string;
}

export interface LedgerLoadPosition extends LoadPosition {
  /** Highest version that was loaded, decimal; absent before the first batch. */
  readonly highest?: string;
  /** A part of the target that was there when it was last looked at. */
  readonly part?: Part | undefined;
}

export interface CopyPosition {
  /** The drawn position of the copy that is done, decimal. */
  readonly done?: string;
  readonly rows?: string;
  /** A part of the target that was there when the copy was done. */
  readonly part?: Part | undefined;
}

export type PublishStage = StageRow<PublishPosition, OutboxBatch>;
export type LoadStage = StageRow<LedgerLoadPosition, OffsetBatch>;
export type CopyStage = StageRow<CopyPosition, never>;

const COLUMNS = `stage, epoch::text, owner, batch::int, position, pending, low_water::text as "lowWater",
  rows::text, bytes::text, updated_at::text as "updatedAt"`;

export async function readStages(pg: Queryable, tableId: string): Promise<StageRow[]> {
  const found = await query<StageRow>(
    pg,
    /* sql */ `select ${COLUMNS} from pg2click.stage where replica_id = $1 order by stage`,
    [tableId],
  );
  return found.rows;
}

/**
 * Takes a stage over: from here on every older attempt is fenced.
 * A frozen attempt that claims late fences the rightful one, which then claims again: being fenced is never final.
 */
export async function claimStage<Row extends StageRow>(
  pg: Queryable,
  claim: { tableId: string; stage: Row['stage']; owner: string },
): Promise<Row> {
  const claimed = await query<Row>(
    pg,
    /* sql */ `update pg2click.stage set epoch = epoch + 1, owner = $3
      where replica_id = $1 and stage = $2 returning ${COLUMNS}`,
    [claim.tableId, claim.stage, claim.owner],
  );
  return claimed.rows[0] ?? fenced(claim.stage);
}

/** What the confirmer of a batch knows. */
export interface ConfirmedLoad {
  readonly batch: number;
  readonly position: LedgerLoadPosition;
  readonly rows: number;
  readonly bytes: number;
}

/**
 * Confirms a load batch and names the next one, in one statement: a compare-and-set on epoch and batch number.
 * @param confirm null to name only; @param next null to confirm only
 * @throws Failure `Fenced` when another attempt took over
 */
export async function advanceLoad(
  pg: Queryable,
  stage: { tableId: string; epoch: string },
  confirm: ConfirmedLoad | null,
  next: OffsetBatch | null,
): Promise<void> {
  const nextJson = next === null ? null : JSON.stringify(next);
  const changed =
    confirm === null
      ? await query(
          pg,
          /* sql */ `update pg2click.stage set pending = $3::jsonb, updated_at = now()
            where replica_id = $1 and stage = 'load' and epoch = $2 and pending is null
            and batch = ($3::jsonb ->> 'batch')::bigint - 1`,
          [stage.tableId, stage.epoch, nextJson],
        )
      : await query(
          pg,
          /* sql */ `update pg2click.stage
            set batch = $3, position = $4::jsonb, pending = $5::jsonb, rows = rows + $6, bytes = bytes + $7,
                updated_at = now()
            where replica_id = $1 and stage = 'load' and epoch = $2 and batch = $3::bigint - 1
            and (pending ->> 'batch')::bigint = $3`,
          [
            stage.tableId,
            stage.epoch,
            confirm.batch,
            JSON.stringify(confirm.position),
            nextJson,
            confirm.rows,
            confirm.bytes,
          ],
        );
  if (changed.rowCount !== 1) fenced('load');
}

/** Confirms the first load. @throws Failure `Fenced` */
export async function finishCopy(
  pg: Queryable,
  stage: { tableId: string; epoch: string },
  copy: { position: string; rows: number; bytes: number; part: Part | undefined },
): Promise<void> {
  const changed = await query(
    pg,
    /* sql */ `update pg2click.stage
      set batch = batch + 1, position = $3::jsonb, rows = rows + $4, bytes = bytes + $5, updated_at = now()
      where replica_id = $1 and stage = 'copy' and epoch = $2`,
    [
      stage.tableId,
      stage.epoch,
      JSON.stringify({ done: copy.position, rows: String(copy.rows), part: copy.part } satisfies CopyPosition),
      copy.rows,
      copy.bytes,
    ],
  );
  if (changed.rowCount !== 1) fenced('copy');
}
