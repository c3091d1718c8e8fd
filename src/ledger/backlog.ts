import { escapeLiteral } from 'pg';
import type { Queryable } from '../connect/queryable.js';
import type { CopyPace } from '../domain/chunk.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import type { StageId } from '../domain/route.js';
import type { TableName } from '../domain/table-name.js';
import { queryBounded } from './query.js';
import { TABLE_COLUMNS, toTable, type TableRow } from './tables.js';

/** A stage of a table as a display wants it: the counters of `StageRow`, and times. */
export interface LedgerStage {
  /** The last confirmed batch. */
  readonly batch: number;
  /** What `position` and `pending` hold is the business of the stage's source. */
  readonly position: unknown;
  readonly pending: unknown;
  /** Decimal. */
  readonly lowWater: string;
  /** Totals since the table was added. */
  readonly rows: number;
  readonly bytes: number;
  /** When a batch was last named or confirmed, Unix time in seconds, by the clock of PostgreSQL. */
  readonly updatedAt: number;
  /** Seconds since then, by the same clock. */
  readonly updatedAgo: number;
  /** Of a copy under way, once it is planned. */
  readonly copy: CopyPace | null;
}

export interface LedgerTable {
  readonly table: ReplicatedTable;
  /** Of the stages that have a row: a table may lack any of them. */
  readonly stages: Readonly<Record<StageId, LedgerStage>>;
  /** Rows in quarantine. */
  readonly quarantined: number;
}

export interface LedgerFilter {
  /** Default: all pipelines. */
  readonly pipeline?: string | undefined;
  /** Default: all tables. */
  readonly name?: TableName | undefined;
}

/** How fast a copy went in this time, seconds. */
const PACE_SECONDS = 60;
/** A `CopyPace`; null for a stage without chunks. `done`: those of the last minute, and since when. */
const COPY_PACE = /* sql */ `
  select jsonb_build_object('chunks', chunks, 'chunksDone', chunks_done, 'rows', rows, 'bytes', bytes, 'bytesDone', bytes_done,
    'rowsPerSecond', done_rows / done_seconds, 'secondsLeft', (bytes - bytes_done) * done_seconds / nullif(done_bytes, 0))
  from (
    select count(*) as chunks, count(done_at) as chunks_done, coalesce(sum(rows), 0) as rows, coalesce(sum(c.bytes), 0) as bytes,
      coalesce(sum(c.bytes) filter (where done_at is not null), 0) as bytes_done,
      (sum(rows) filter (where is_recent))::float8 as done_rows, (sum(c.bytes) filter (where is_recent))::float8 as done_bytes,
      extract(epoch from now() - greatest(min(planned_at), now() - interval '${PACE_SECONDS} s'))::float8 as done_seconds
    from pg2click.chunk c, lateral (select done_at > now() - interval '${PACE_SECONDS} s' as is_recent) recent
    where c.table_id = s.table_id and c.stage = s.stage) chunks
  where chunks > 0`;

/**
 * Every prepared table with its stages, in one round trip.
 * @throws Failure `LedgerUnavailable` and its like; `Misconfigured` where there is no ledger
 */
export async function readLedger(pg: Queryable, { pipeline, name }: LedgerFilter = {}): Promise<LedgerTable[]> {
  const conditions = [
    'ready',
    ...(pipeline === undefined ? [] : [`pipeline = ${escapeLiteral(pipeline)}`]),
    ...(name === undefined ? [] : [`schema_name = ${escapeLiteral(name.schema)}`]),
    ...(name === undefined ? [] : [`table_name = ${escapeLiteral(name.table)}`]),
  ];
  const rows = await queryBounded<TableRow & { stages: Record<StageId, LedgerStage> | null; quarantined: number }>(
    pg,
    /* sql */ `select ${TABLE_COLUMNS}, stages,
        (select count(*)::int from pg2click.quarantine q where q.table_id = t.id and q.state = 'open') as quarantined
      from pg2click.replicated_table t
      left join lateral (
        select jsonb_object_agg(s.stage, jsonb_build_object(
          'batch', s.batch, 'position', s.position, 'pending', s.pending, 'lowWater', s.low_water::text,
          'rows', s.rows, 'bytes', s.bytes, 'updatedAt', extract(epoch from s.updated_at)::float8,
          'updatedAgo', extract(epoch from now() - s.updated_at)::float8,
          'copy', (${COPY_PACE}))) as stages
        from pg2click.stage s where s.table_id = t.id) of_table on true
      where ${conditions.join(' and ')} order by schema_name, table_name, pipeline`,
  );
  return rows.map(({ stages, quarantined, ...row }) => ({ table: toTable(row), stages: stages ?? {}, quarantined }));
}
