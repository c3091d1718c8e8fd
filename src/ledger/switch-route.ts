import type { ReplicatedTable } from '../domain/replicated-table.js';
import { stagesOf, type StageId } from '../domain/route.js';
import type { Queryable } from '../connect/queryable.js';
import { definitionOf } from './change-route.js';
import { query } from './query.js';
import { checkClaim, type DdlClaim } from './registration.js';
import { readStages } from './stages.js';

/**
 * Saves what a change has made of a table, outside of the switch.
 * @throws Failure `Fenced`
 */
export async function saveDefinition(pg: Queryable, claim: DdlClaim, table: ReplicatedTable): Promise<void> {
  const saved = await query(
    pg,
    /* sql */ `update pg2click.replicated_table set definition = $3::jsonb, fingerprint = $4
      where id = $1 and ddl_epoch = $2 and ready`,
    [claim.id, claim.epoch, JSON.stringify(definitionOf(table)), table.fingerprint],
  );
  if (saved.rowCount !== 1) await checkClaim(pg, claim);
}

/** Ends the claim of the attempt that works on a stage: what it has in hand may still be sent, and never confirmed. */
export async function fenceStage(pg: Queryable, tableId: string, stage: StageId): Promise<void> {
  const statement = /* sql */ `update pg2click.stage set epoch = epoch + 1, owner = 'change' where table_id = $1 and stage = $2`;
  await query(pg, statement, [tableId, stage]);
}

export interface Switch {
  /** The table as it is to be; its generation may be a new one. */
  readonly table: ReplicatedTable;
  /** The stage that reads the capture: before and after. Its row goes on under another id, with its pending name. */
  readonly reader: { readonly from: StageId; readonly to: StageId };
  /** Where stages start that have positions of their own from now on. */
  readonly positions: Readonly<Record<StageId, object>>;
  /** The proof of the reader's row goes to these, or comes from them: both ends are the same target. */
  readonly proof?: { readonly from: StageId; readonly to: StageId };
  /**
   * If positions start again: where the reader starts. `fromNothing`: batch numbers start again too, and the first batch of a poll
   * hides all rows of older generations.
   */
  readonly again?: { readonly start: object; readonly fromNothing: boolean };
}

/**
 * Exchanges the route of a table: one transaction. Every stage gets an epoch above all that any of its stages ever had, so an
 * attempt for the old route is fenced, also where its stage gets another name. Rows of stages that the route has no more stay: a
 * batch number is part of a token, and must not be given twice.
 * @param pg a connection of its own, in a transaction
 * @throws Failure `Fenced`; `TargetTaken` is found before
 */
export async function switchRoute(pg: Queryable, claim: DdlClaim, change: Switch): Promise<void> {
  const { table, reader, positions, proof, again } = change;
  await checkClaim(pg, claim);
  await query(pg, /* sql */ `select from pg2click.stage where table_id = $1 order by stage for update`, [claim.id]);
  const proofs = new Map((await readStages(pg, claim.id)).map((row) => [row.stage, row.proof]));
  await query(
    pg,
    /* sql */ `update pg2click.stage set owner = 'change', epoch = (
        select max(epoch) + 1 from pg2click.stage where table_id = $1) where table_id = $1`,
    [claim.id],
  );
  if (reader.from !== reader.to)
    await query(pg, /* sql */ `update pg2click.stage set stage = $3, proof = null where table_id = $1 and stage = $2`, [
      claim.id,
      reader.from,
      reader.to,
    ]);
  for (const [stage, position] of Object.entries(positions))
    await query(
      pg,
      /* sql */ `insert into pg2click.stage as s (table_id, stage, owner, position, epoch)
        values ($1, $2, 'change', $3::jsonb, (select max(epoch) from pg2click.stage where table_id = $1))
        on conflict (table_id, stage) do update
        set position = excluded.position, pending = null, proof = null, updated_at = now()`,
      [claim.id, stage, JSON.stringify(position)],
    );
  if (again !== undefined) await startAgain(pg, table, { reader: reader.to, ...again });
  const kept = proof === undefined ? undefined : proofs.get(proof.from);
  if (proof !== undefined && kept !== undefined && kept !== null)
    await query(pg, /* sql */ `update pg2click.stage set proof = $3::jsonb where table_id = $1 and stage = $2`, [
      claim.id,
      proof.to,
      JSON.stringify(kept),
    ]);
  await query(
    pg,
    /* sql */ `update pg2click.replicated_table set definition = $2::jsonb, fingerprint = $3, generation = $4 where id = $1`,
    [claim.id, JSON.stringify(definitionOf(table)), table.fingerprint, table.generation],
  );
  await query(
    pg,
    /* sql */ `update pg2click.history h set generation = greatest(h.generation, t.generation)
      from pg2click.replicated_table t where t.id = $1
      and (h.pipeline, h.schema_name, h.table_name) = (t.pipeline, t.schema_name, t.table_name)`,
    [claim.id],
  );
}

/** Names of an older generation are void. First loads that were done belong to it too, also where the new route has none. */
async function startAgain(
  pg: Queryable,
  { id: tableId, route }: ReplicatedTable,
  { reader, start, fromNothing }: { readonly reader: StageId; readonly start: object; readonly fromNothing: boolean },
): Promise<void> {
  const reset = /* sql */ `pending = null, deleting = null, proof = null, low_water = 0, candidate = null,
    candidate_xid = null, rows = 0, bytes = 0, updated_at = now()`;
  await query(
    pg,
    /* sql */ `update pg2click.stage set ${reset}, position = $3::jsonb,
        batch = case when $4 then 0 else greatest(batch, 1) end
      where table_id = $1 and stage = $2`,
    [tableId, reader, JSON.stringify(start), fromNothing],
  );
  await query(
    pg,
    /* sql */ `update pg2click.stage set ${reset}, position = '{}', batch = 0
      where table_id = $1 and (stage = 'copy' or stage like 'copy:%')`,
    [tableId],
  );
  for (const { id, runs } of stagesOf(route))
    if (runs === 'once')
      await query(
        pg,
        /* sql */ `insert into pg2click.stage (table_id, stage, owner, epoch)
          values ($1, $2, 'change', (select max(epoch) from pg2click.stage where table_id = $1))
          on conflict (table_id, stage) do nothing`,
        [tableId, id],
      );
}
