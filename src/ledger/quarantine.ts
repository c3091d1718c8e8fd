import type { Queryable } from '../connect/queryable.js';
import { holeOf, type LackingTarget, type RefusedRow } from '../domain/quarantine.js';
import type { StageId } from '../domain/route.js';
import { fenced, query } from './query.js';
import type { StageClaim } from './stages.js';

/** Rows of one batch that are set aside. */
export interface SetAside {
  readonly claim: StageClaim;
  readonly batch: number;
  readonly generation: number;
  readonly lacking: LackingTarget;
  readonly rows: readonly RefusedRow[];
  /** Whether the name of the batch keeps them: where it has a token, a retry must insert the same rest. */
  readonly named: boolean;
}

/**
 * Sets rows of a pending batch aside, before the rest of it is inserted: one statement, a compare-and-set on epoch and batch number. A
 * row that is there already is left as it is, unless it is closed and another batch brings it again: then it is open again. Of the same key only the highest version stays open; a deletion closes itself,
 * because ClickHouse never took a row of that key.
 * @throws Failure `Fenced` when another attempt took over
 */
export async function setAside(
  pg: Queryable,
  { claim, batch, generation, lacking, rows, named }: SetAside,
): Promise<void> {
  const holes = named ? JSON.stringify(rows.map(({ origin }) => holeOf(origin))) : null;
  const described = rows.map(({ origin, key, version, isTombstone, column, code, format, columns }, index) => {
    return { place: index + 1, origin, key, version, isTombstone, column, code, format, columns };
  });
  const changed = await query(
    pg,
    /* sql */ `with mine as (
        update pg2click.stage set pending = case when $5::jsonb is null then pending else
          pending || jsonb_build_object('holes', coalesce(pending -> 'holes', '[]') || $5::jsonb) end
        where table_id = $1 and stage = $2 and epoch = $3
          -- the pending name of a copy is that of all its chunks
          and case when $5::jsonb is null then pending is not null else (pending ->> 'batch')::bigint = $4 end
        returning table_id),
      refused as (
        select one.*, raw.bytes from jsonb_to_recordset($6::jsonb) as one (
          place bigint, origin jsonb, key text, version numeric, "isTombstone" boolean, "column" text, code integer,
          format text, columns jsonb)
        join unnest($7::bytea[]) with ordinality raw (bytes, place) using (place)),
      kept as (
        insert into pg2click.quarantine (table_id, stage, generation, batch, loader, connection, target, origin, key, version,
          column_name, code, format, columns, raw, state, closed_at)
        select mine.table_id, $2, $8, $4, $9, $10, $11, r.origin, r.key, r.version, r."column", r.code, r.format,
          (select array_agg(value) from jsonb_array_elements_text(nullif(r.columns, 'null'))),
          case when closes then null else r.bytes end, case when closes then 'superseded' else 'open' end,
          case when closes then now() end
        from mine, (select distinct on (origin) * from refused order by origin, place desc) r, lateral (select r."isTombstone" or exists (
          select from pg2click.quarantine q where q.table_id = $1 and q.state = 'open' and q.connection = $10 and q.target = $11
            and q.key = r.key and q.version > r.version)
          or exists (select from refused later where later.key = r.key
            and (later.version, later.place) > (r.version, r.place)) as closes) as newer
        order by r.place
        on conflict (table_id, stage, connection, target, generation, origin) do update set
          batch = excluded.batch, loader = excluded.loader, key = excluded.key, version = excluded.version,
          column_name = excluded.column_name, code = excluded.code, format = excluded.format, columns = excluded.columns,
          raw = excluded.raw, at = now(), state = excluded.state, closed_at = excluded.closed_at
          where quarantine.state <> 'open' and quarantine.batch <> excluded.batch),
      superseded as (
        update pg2click.quarantine q set state = 'superseded', closed_at = now(), raw = null
        from mine, refused r
        where q.table_id = mine.table_id and q.state = 'open' and q.connection = $10 and q.target = $11 and q.key = r.key
          and q.version <= r.version and (q.stage, q.generation, q.origin) <> ($2, $8, r.origin))
      select from mine`,
    [
      claim.tableId,
      claim.stage,
      claim.epoch,
      batch,
      holes,
      JSON.stringify(described),
      rows.map(({ raw }) => Buffer.from(raw)),
      generation,
      lacking.loader,
      lacking.connection,
      lacking.target,
    ],
  );
  if (changed.rowCount !== 1) fenced(claim.stage);
}

/** A row that is set aside, without its values but for those of its key. */
export interface OpenRow {
  readonly id: string;
  readonly key: string;
  /** Decimal; null in targets without versions. */
  readonly version: string | null;
}

/** Open rows of a target whose keys are known, the oldest first. */
export async function openRows(
  pg: Queryable,
  { tableId, connection, target }: LackingTarget,
  limit: number,
): Promise<readonly OpenRow[]> {
  const found = await query<OpenRow>(
    pg,
    /* sql */ `select id::text, key, version::text from pg2click.quarantine
      where table_id = $1 and state = 'open' and connection = $2 and target = $3 and key is not null order by id limit $4`,
    [tableId, connection, target, limit],
  );
  return found.rows;
}

/** Open rows of a table, in all its targets. @param except a batch: an earlier attempt may have set its rows aside */
export async function countOpen(
  pg: Queryable,
  tableId: string,
  except?: { readonly stage: StageId; readonly batch: number },
): Promise<number> {
  const found = await query<{ open: number }>(
    pg,
    /* sql */ `select count(*)::int as open from pg2click.quarantine
      where table_id = $1 and state = 'open' and (stage, batch) is distinct from ($2::text, $3::bigint)`,
    [tableId, except?.stage ?? null, except?.batch ?? null],
  );
  return found.rows[0]?.open ?? 0;
}

/**
 * @param versions from the first to the one after the last
 * @returns how many rows of the table are open, and whether a row of these versions was ever set aside in the target
 */
export async function readQuarantine(
  pg: Queryable,
  { tableId, connection, target }: LackingTarget,
  [first, after]: readonly [first: bigint, after: bigint],
): Promise<{ readonly open: number; readonly isSetAside: boolean }> {
  const found = await query<{ open: number; isSetAside: boolean }>(
    pg,
    /* sql */ `select (select count(*)::int from pg2click.quarantine where table_id = $1 and state = 'open') as open,
      exists (select from pg2click.quarantine where table_id = $1 and connection = $2 and target = $3
        and version >= $4::numeric and version < $5::numeric) as "isSetAside"`,
    [tableId, connection, target, String(first), String(after)],
  );
  return found.rows[0] ?? { open: 0, isSetAside: false };
}

/**
 * Keys of the rows of these versions that were ever set aside in the target, whatever became of them: each was in PostgreSQL.
 * @param versions as of `readQuarantine`
 */
export async function keysSetAside(
  pg: Queryable,
  { tableId, connection, target }: LackingTarget,
  [first, after]: readonly [first: bigint, after: bigint],
): Promise<readonly string[]> {
  const found = await query<{ key: string }>(
    pg,
    /* sql */ `select distinct key from pg2click.quarantine
      where table_id = $1 and connection = $2 and target = $3 and key is not null
        and version >= $4::numeric and version < $5::numeric order by key`,
    [tableId, connection, target, String(first), String(after)],
  );
  return found.rows.map(({ key }) => key);
}

/** Closes rows that are open. Their values go. @returns how many were open */
export async function closeRows(
  pg: Queryable,
  tableId: string,
  ids: readonly string[],
  state: 'superseded' | 'retried' | 'dropped',
): Promise<number> {
  if (ids.length === 0) return 0;
  const closed = await query(
    pg,
    /* sql */ `update pg2click.quarantine set state = $3, closed_at = now(), raw = null
      where table_id = $1 and id = any ($2::bigint[]) and state = 'open'`,
    [tableId, ids, state],
  );
  return closed.rowCount ?? 0;
}

/** Closes rows that a TRUNCATE came after. */
export async function closeBelow(
  pg: Queryable,
  { tableId, connection, target }: LackingTarget,
  floor: string,
): Promise<void> {
  await query(
    pg,
    /* sql */ `update pg2click.quarantine set state = 'superseded', closed_at = now(), raw = null
      where table_id = $1 and state = 'open' and connection = $2 and target = $3 and version <= $4::numeric`,
    [tableId, connection, target, floor],
  );
}
