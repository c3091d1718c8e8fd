import type { Queryable } from '../connect/queryable.js';
import type { TableAddress } from '../domain/receipt.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import type { StageId } from '../domain/route.js';
import { formatTableName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { query } from './query.js';
import { claimTable, explainTaken, type DdlClaim } from './registration.js';
import { findTable, type Definition } from './tables.js';

/**
 * Claims a prepared table to change its route or its stages, and reads it under the claim: what others change later is fenced.
 * @throws Failure `LedgerSetBack` the ledger does not know it any more; `Fenced`
 */
export async function claimPrepared(
  pg: Queryable,
  address: TableAddress,
): Promise<{ readonly table: ReplicatedTable; readonly claim: DdlClaim }> {
  const known = await findTable(pg, address.pipeline, address);
  if (known !== undefined) {
    const claim = await claimTable(pg, known);
    const table = await findTable(pg, address.pipeline, address);
    if (table?.id === claim.id) return { table, claim };
  }
  throw new Failure('LedgerSetBack', {
    message: `The ledger does not know ${formatTableName(address)} of pipeline ${address.pipeline} any more.`,
  });
}

export interface StageChange {
  /** Absent: it stays. */
  readonly definition?: Definition;
  /** Stages that begin, with their positions. */
  readonly add?: Readonly<Record<StageId, object>>;
  /** Stages that end: their rows go, which fences the attempts that work on them. */
  readonly remove?: readonly StageId[];
  /** Epochs with which the caller has claimed some of its stages: who claims one of them later fences the change. */
  readonly claimed?: Readonly<Record<StageId, string>>;
  /** Stages that go on under the new definition: attempts that know the old one are fenced. */
  readonly fence?: readonly StageId[];
  /** Of `fence`: those whose target is another table now. Their proofs are of the old one. */
  readonly moved?: readonly StageId[];
  /** New positions of copies that are done, by stage. One that has to be made again stays as it is. */
  readonly copied?: Readonly<Record<StageId, object>>;
}

/**
 * Changes a table's route and stages in one statement. The epoch of a new stage begins above that of any stage of this name
 * before: a frozen attempt of a removed loader finds no row of its epoch when the name is used again.
 * @throws Failure `Fenced`; `TargetTaken` another table has the target
 */
export async function changeStages(
  pg: Queryable,
  claim: DdlClaim,
  table: ReplicatedTable,
  {
    definition = definitionOf(table),
    add = {},
    remove = [],
    claimed = {},
    fence = [],
    moved = [],
    copied = {},
  }: StageChange,
): Promise<void> {
  const changed = await query(
    pg,
    /* sql */ `with held as (
        select s.stage from pg2click.stage s join jsonb_each_text($9::jsonb) c on c.key = s.stage and c.value::bigint = s.epoch
        where s.table_id = $1 for update of s),
      mine as (
        update pg2click.replicated_table set definition = $3::jsonb where id = $1 and ddl_epoch = $2 and ready
          and (select count(*) from held) = (select count(*) from jsonb_object_keys($9::jsonb))
        returning id, ddl_epoch),
      gone as (
        delete from pg2click.stage s using mine where s.table_id = mine.id and s.stage = any ($5::text[]) returning s.stage),
      begun as (
        insert into pg2click.stage (table_id, stage, epoch, position)
        select mine.id, start.key, mine.ddl_epoch << 32, start.value from mine, jsonb_each($4::jsonb) start),
      fenced as (
        update pg2click.stage s set epoch = s.epoch + 1,
          proof = case when s.stage = any ($7::text[]) then null else s.proof end,
          -- a copy that is under way was of the old target
          pending = case when s.stage = any ($7::text[]) and s.stage like 'copy%' then null else s.pending end,
          position = case when s.position ? 'done' then coalesce($8::jsonb -> s.stage, s.position) else s.position end
        from mine where s.table_id = mine.id and s.stage = any ($6::text[]))
      select from mine`,
    [
      claim.id,
      claim.epoch,
      JSON.stringify(definition),
      JSON.stringify(add),
      [...remove],
      [...fence],
      [...moved],
      JSON.stringify(copied),
      JSON.stringify(claimed),
    ],
  ).catch(async (error: unknown) => {
    throw await explainTaken(pg, error, { ...table, definition });
  });
  if (changed.rowCount !== 1)
    throw new Failure('Fenced', { message: `Another attempt changes ${formatTableName(table.name)}, or has done so.` });
}

/** The part of a table that one JSON value of the ledger holds. */
export function definitionOf(table: ReplicatedTable): Definition {
  const { source, columns, excluded, where, key, route, owner, adopted, spareCaptures, partialTopic } = table;
  return {
    ...(source === undefined ? {} : { source }),
    columns,
    ...(excluded === undefined ? {} : { excluded }),
    ...(where === undefined ? {} : { where }),
    key,
    route,
    ...(owner === undefined ? {} : { owner }),
    ...(adopted === undefined ? {} : { adopted }),
    ...(spareCaptures === undefined || spareCaptures.length === 0 ? {} : { spareCaptures }),
    ...(partialTopic === undefined ? {} : { partialTopic }),
  };
}
