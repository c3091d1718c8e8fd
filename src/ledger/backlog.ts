import { escapeLiteral } from 'pg';
import type { Queryable } from '../connect/queryable.js';
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
          'updatedAgo', extract(epoch from now() - s.updated_at)::float8)) as stages
        from pg2click.stage s where s.table_id = t.id) of_table on true
      where ${conditions.join(' and ')} order by schema_name, table_name, pipeline`,
  );
  return rows.map(({ stages, quarantined, ...row }) => ({ table: toTable(row), stages: stages ?? {}, quarantined }));
}
