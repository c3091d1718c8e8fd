import type { Queryable } from '../connect/queryable.js';
import type { LackingTarget, QuarantineState, RowOrigin } from '../domain/quarantine.js';
import type { StageId } from '../domain/route.js';
import { query } from './query.js';

/** A row of the quarantine without any of its values. */
export interface QuarantinedRow {
  readonly id: string;
  /** `schema.table` */
  readonly table: string;
  readonly stage: StageId;
  readonly loader: string;
  /** `database.table`; it lacks the row. */
  readonly target: string;
  readonly origin: RowOrigin;
  /** Null where ClickHouse named none. */
  readonly column: string | null;
  /** The error code of ClickHouse. */
  readonly code: number;
  readonly state: QuarantineState;
  /** ISO 8601. */
  readonly at: string;
  readonly closedAt: string | null;
}

/** With its values: they are shown to who asks for this very row. */
export interface ShownRow extends QuarantinedRow {
  /** Texts of the key columns, in key order; null where they cannot be read. */
  readonly key: readonly string[] | null;
  /** Decimal. */
  readonly version: string | null;
  readonly format: 'JSONEachRow' | 'TabSeparated';
  readonly columns: readonly string[] | null;
  /** As they were sent; null once it is closed. */
  readonly raw: Buffer | null;
}

/** A row that is to be inserted again. */
export interface RetriedRow {
  readonly id: string;
  readonly loader: string;
  readonly stage: StageId;
  readonly origin: RowOrigin;
  readonly key: string | null;
  readonly version: string | null;
  readonly format: 'JSONEachRow' | 'TabSeparated';
  readonly columns: readonly string[] | null;
  readonly raw: Buffer;
}

/** Of the rows of one request. */
const MOST_BYTES = 64 * 1024 * 1024;
/** Not even the key: the role that only reads sees none. */
const COLUMNS = `q.id::text, t.schema_name || '.' || t.table_name as table, q.stage, q.loader, q.target, q.origin,
  q.column_name as column, q.code, q.state, to_char(q.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at,
  to_char(q.closed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "closedAt"`;
const FROM = `from pg2click.quarantine q join pg2click.replicated_table t on t.id = q.table_id`;

export interface QuarantineFilter {
  readonly pipeline: string;
  /** Default: all tables of the pipeline. */
  readonly tableId?: string | undefined;
  /** Closed rows too. */
  readonly all: boolean;
  readonly limit: number;
}

/** Rows of the quarantine, the oldest first. */
export async function listQuarantine(
  pg: Queryable,
  { pipeline, tableId, all, limit }: QuarantineFilter,
): Promise<readonly QuarantinedRow[]> {
  const found = await query<QuarantinedRow>(
    pg,
    /* sql */ `select ${COLUMNS} ${FROM}
      where t.pipeline = $1 and ($2::bigint is null or t.id = $2) and ($3 or q.state = 'open') order by q.id limit $4`,
    [pipeline, tableId ?? null, all, limit],
  );
  return found.rows;
}

/** @returns undefined where the table has no such row */
export async function findQuarantined(pg: Queryable, tableId: string, id: string): Promise<ShownRow | undefined> {
  const found = await query<ShownRow>(
    pg,
    /* sql */ `select ${COLUMNS}, q.key::jsonb as key, q.version::text, q.format, q.columns, q.raw ${FROM}
      where q.table_id = $1 and q.id = $2`,
    [tableId, id],
  );
  return found.rows[0];
}

/** Those of the ids that are no row of the table, closed ones counted as rows: an attempt before this one may have closed them. */
export async function findUnknownRows(
  pg: Queryable,
  tableId: string,
  ids: readonly string[],
): Promise<readonly string[]> {
  const found = await query<{ id: string }>(
    pg,
    /* sql */ `select id::text from unnest($2::bigint[]) id
      where not exists (select from pg2click.quarantine q where q.table_id = $1 and q.id = id.id)`,
    [tableId, ids],
  );
  return found.rows.map(({ id }) => id);
}

/** Open rows of a table, the oldest first. @param ids undefined for all */
export async function rowsToRetry(
  pg: Queryable,
  tableId: string,
  ids: readonly string[] | undefined,
  limit: number,
): Promise<readonly RetriedRow[]> {
  const found = await query<RetriedRow>(
    pg,
    /* sql */ `select id::text, loader, stage, origin, key, version::text, format, columns, raw
      from (select *, sum(octet_length(raw)) over (order by id) as bytes from pg2click.quarantine
        where table_id = $1 and state = 'open' and ($2::bigint[] is null or id = any ($2)) order by id limit $3) oldest
      where bytes <= ${MOST_BYTES} or bytes = octet_length(raw)`,
    [tableId, ids ?? null, limit],
  );
  return found.rows;
}

/** @param ids undefined for all. @returns how many open rows were closed */
export async function dropRows(pg: Queryable, tableId: string, ids: readonly string[] | undefined): Promise<number> {
  const dropped = await query(
    pg,
    /* sql */ `update pg2click.quarantine set state = 'dropped', closed_at = now(), raw = null
      where table_id = $1 and state = 'open' and ($2::bigint[] is null or id = any ($2))`,
    [tableId, ids ?? null],
  );
  return dropped.rowCount ?? 0;
}

/** Forgets what the target of a loader lacks, once the loader is gone. */
export async function forgetLoaderRows(pg: Queryable, tableId: string, loader: string): Promise<void> {
  await query(pg, /* sql */ `delete from pg2click.quarantine where table_id = $1 and loader = $2`, [tableId, loader]);
}

/** Rows that the table of one loader lacks are rows that the table of another lacks: it has taken its place. */
export async function moveLoaderRows(pg: Queryable, from: string, lacking: LackingTarget): Promise<void> {
  const { tableId, loader, target } = lacking;
  await query(
    pg,
    /* sql */ `update pg2click.quarantine set loader = $3, target = $4 where table_id = $1 and loader = $2`,
    [tableId, from, loader, target],
  );
}
