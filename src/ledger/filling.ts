import type { Queryable } from '../connect/queryable.js';
import { fenced, query } from './query.js';
import type { StageClaim } from './stages.js';

/** How long ago, in seconds by the clock of the ledger, a resync came to a point. */
export interface FillingAges {
  /** Before its position was drawn: from then on the live flow writes what is above the position to both tables. */
  readonly begun: number;
  /** When its copy was confirmed as a whole. */
  readonly copied: number;
}

const BEGUN = /* sql */ `jsonb_build_object('filledSince', now())`;

/** Notes when the copy of a resync begins, where that is not noted yet. */
export async function noteFilling(pg: Queryable, { tableId, stage }: Omit<StageClaim, 'epoch'>): Promise<void> {
  await query(
    pg,
    /* sql */ `update pg2click.stage set position = position || ${BEGUN}
      where table_id = $1 and stage = $2 and not position ? 'filledSince'`,
    [tableId, stage],
  );
}

/** Of a copy that is done. @throws Failure `Fenced` */
export async function readFilling(pg: Queryable, { tableId, stage, epoch }: StageClaim): Promise<FillingAges> {
  const found = await query<FillingAges>(
    pg,
    /* sql */ `select extract(epoch from now() - (position ->> 'filledSince')::timestamptz)::float8 as begun,
        extract(epoch from now() - updated_at)::float8 as copied
      from pg2click.stage where table_id = $1 and stage = $2 and epoch = $3`,
    [tableId, stage, epoch],
  );
  return found.rows[0] ?? fenced(stage);
}

/** Lets the copy of a resync begin again, at another position. @throws Failure `Fenced` */
export async function fillAgain(pg: Queryable, { tableId, stage, epoch }: StageClaim): Promise<void> {
  const changed = await query(
    pg,
    /* sql */ `with claimed as (
        update pg2click.stage set epoch = epoch + 1, position = ${BEGUN}, pending = null, updated_at = now()
        where table_id = $1 and stage = $2 and epoch = $3 returning table_id, stage),
      plan as (delete from pg2click.chunk c using claimed where c.table_id = claimed.table_id and c.stage = claimed.stage)
      select from claimed`,
    [tableId, stage, epoch],
  );
  if (changed.rowCount !== 1) fenced(stage);
}
