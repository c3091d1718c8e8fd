import type { ReplicatedTable } from '../domain/replicated-table.js';
import type { Shape } from '../domain/shape.js';
import type { TableName } from '../domain/table-name.js';
import type { Queryable } from '../connect/queryable.js';
import { isMissingLedger, query } from './query.js';

/** A row of the ledger as SQL returns it. */
export interface TableRow {
  id: string;
  pipeline: string;
  schema_name: string;
  table_name: string;
  relation: string;
  generation: number;
  shape: number;
  definition: Definition;
  fingerprint: string;
  /** Null for a table whose columns never changed. */
  shapes: readonly Shape[] | null;
}

/** What the user chose and what the catalogue said, as one JSON value. */
export type Definition = Pick<
  ReplicatedTable,
  'source' | 'columns' | 'excluded' | 'where' | 'key' | 'route' | 'owner' | 'adopted' | 'spareCaptures' | 'partialTopic'
>;

export const TABLE_COLUMNS = /* sql */ `id::text, pipeline, schema_name, table_name, relation::text, generation::int, shape,
  definition, fingerprint, (
    select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('shape', each.shape, 'generation', each.generation,
      'columns', each.columns, 'class', each.class, 'change', each.change,
      'notedAt', pg_catalog.to_char(each.noted_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) order by each.shape)
    from pg2click.shape each where each.table_id = id) as shapes`;

/** @returns undefined where the table is not replicated, or not yet prepared */
export async function findTable(
  pg: Queryable,
  pipeline: string,
  name: TableName,
): Promise<ReplicatedTable | undefined> {
  const found = await query<TableRow>(
    pg,
    /* sql */ `select ${TABLE_COLUMNS} from pg2click.replicated_table
      where pipeline = $1 and schema_name = $2 and table_name = $3 and ready`,
    [pipeline, name.schema, name.table],
  );
  return found.rows.map(toTable)[0];
}

/** @returns the name under which a pipeline has a table of the source, ready or not; undefined where it has not */
export async function findNameOf(pg: Queryable, pipeline: string, relation: string): Promise<TableName | undefined> {
  const found = await query<TableName>(
    pg,
    /* sql */ `select schema_name as schema, table_name as "table" from pg2click.replicated_table
      where pipeline = $1 and relation = $2`,
    [pipeline, relation],
  );
  return found.rows[0];
}

/** Every prepared table of a pipeline, by name. */
export async function listTables(pg: Queryable, pipeline: string): Promise<ReplicatedTable[]> {
  const found = await query<TableRow>(
    pg,
    /* sql */ `select ${TABLE_COLUMNS} from pg2click.replicated_table where pipeline = $1 and ready order by schema_name, table_name`,
    [pipeline],
  );
  return found.rows.map(toTable);
}

/** Whether a table of a pipeline goes through Kafka, or is about to. Where there is no ledger yet, none does. */
export async function hasKafkaTable(pg: Queryable, pipeline: string): Promise<boolean> {
  try {
    const found = await query<{ has: boolean }>(
      pg,
      /* sql */ `select exists (select from pg2click.replicated_table
        where pipeline = $1 and definition #>> '{route,transport,kind}' = 'kafka') as has`,
      [pipeline],
    );
    return found.rows[0]?.has === true;
  } catch (error) {
    if (isMissingLedger(error)) return false;
    throw error;
  }
}

/** Loaders of the ready tables of all pipelines, beside the one that each table has. 0 without a ledger. */
export async function countAddedLoaders(pg: Queryable): Promise<number> {
  try {
    const found = await query<{ added: number }>(
      pg,
      /* sql */ `select coalesce(sum(jsonb_array_length(definition #> '{route,loaders}') - 1), 0)::int as added
        from pg2click.replicated_table where ready`,
      [],
    );
    return found.rows[0]?.added ?? 0;
  } catch (error) {
    if (isMissingLedger(error)) return 0;
    throw error;
  }
}

/** @returns undefined where the table was removed */
export async function readFingerprint(pg: Queryable, id: string): Promise<string | undefined> {
  const found = await query<Pick<TableRow, 'fingerprint'>>(
    pg,
    /* sql */ `select fingerprint from pg2click.replicated_table where id = $1`,
    [id],
  );
  return found.rows[0]?.fingerprint;
}

export async function saveFingerprint(pg: Queryable, id: string, fingerprint: string): Promise<void> {
  await query(pg, /* sql */ `update pg2click.replicated_table set fingerprint = $2 where id = $1`, [id, fingerprint]);
}

/** @returns false where it is not the table's any more: triggers were renewed meanwhile, or a shape was noted */
export async function replaceFingerprint(
  pg: Queryable,
  { id, fingerprint: before }: Pick<ReplicatedTable, 'id' | 'fingerprint'>,
  fingerprint: string,
): Promise<boolean> {
  const statement = /* sql */ `update pg2click.replicated_table set fingerprint = $3 where id = $1 and fingerprint = $2`;
  return (await query(pg, statement, [id, before, fingerprint])).rowCount === 1;
}

/** For a table of a release in which deployments had no identity. An owner that is there stays. */
export async function saveOwner(pg: Queryable, id: string, definition: Definition): Promise<void> {
  const statement = /* sql */ `update pg2click.replicated_table
    set definition = $2::jsonb where id = $1 and ready and not definition ? 'owner'`;
  await query(pg, statement, [id, JSON.stringify(definition)]);
}

export function toTable(row: TableRow): ReplicatedTable {
  return {
    id: row.id,
    pipeline: row.pipeline,
    name: { schema: row.schema_name, table: row.table_name },
    relation: row.relation,
    generation: row.generation,
    shape: row.shape,
    fingerprint: row.fingerprint,
    ...(row.shapes === null ? {} : { shapes: row.shapes }),
    ...row.definition,
  };
}
