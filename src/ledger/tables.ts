import type { ReplicatedTable } from '../domain/replicated-table.js';
import type { StageId } from '../domain/route.js';
import type { TableName } from '../domain/table-name.js';
import type { Queryable } from '../connect/queryable.js';
import { query } from './query.js';

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
}

/** What a person chose or the catalogue told; kept as one JSON value. */
export type Definition = Pick<ReplicatedTable, 'columns' | 'key' | 'route'>;

export const COLUMNS =
  'id::text, pipeline, schema_name, table_name, relation::text, generation::int, shape, definition, fingerprint';

/** @returns undefined where the table is not replicated, or not yet prepared */
export async function findTable(
  pg: Queryable,
  pipeline: string,
  name: TableName,
): Promise<ReplicatedTable | undefined> {
  const found = await query<TableRow>(
    pg,
    /* sql */ `select ${COLUMNS} from pg2click.replicated_table
      where pipeline = $1 and schema_name = $2 and table_name = $3 and ready`,
    [pipeline, name.schema, name.table],
  );
  return found.rows.map(toTable)[0];
}

/** Every prepared table of a pipeline, by name. */
export async function listTables(pg: Queryable, pipeline: string): Promise<ReplicatedTable[]> {
  const found = await query<TableRow>(
    pg,
    /* sql */ `select ${COLUMNS} from pg2click.replicated_table where pipeline = $1 and ready order by schema_name, table_name`,
    [pipeline],
  );
  return found.rows.map(toTable);
}

/**
 * Writes a table's row, not yet ready, or writes it anew where an earlier attempt stopped half-way. The generation is one
 * above everything this table ever had, in the ledger's memory and in the target.
 * @throws Failure `TargetTaken`: another table has the topic or the target
 */
export async function registerTable(
  pg: Queryable,
  table: { pipeline: string; name: TableName; relation: string; definition: Definition; targetGeneration: number },
): Promise<ReplicatedTable> {
  const written = await query<TableRow>(
    pg,
    /* sql */ `with past as (
        insert into pg2click.history (pipeline, schema_name, table_name, generation)
        values ($1, $2, $3, $6::int + 1)
        on conflict (pipeline, schema_name, table_name)
        do update set generation = greatest(history.generation, $6::int) + 1
        returning generation)
      insert into pg2click.replicated_table (pipeline, schema_name, table_name, relation, definition, generation)
      select $1, $2, $3, $4::oid, $5::jsonb, past.generation from past
      on conflict (pipeline, schema_name, table_name) do update
      set relation = excluded.relation, definition = excluded.definition, generation = excluded.generation
      returning ${COLUMNS}`,
    [
      table.pipeline,
      table.name.schema,
      table.name.table,
      table.relation,
      JSON.stringify(table.definition),
      table.targetGeneration,
    ],
  );
  const row = written.rows[0];
  if (row === undefined) throw new Error('the ledger returned no row for a table it registered');
  return toTable(row);
}

/** The last step of preparing: from here on the slices find the table. */
export async function markReady(
  pg: Queryable,
  table: ReplicatedTable,
  start: { fingerprint: string; positions: Readonly<Record<StageId, object>> },
): Promise<void> {
  await query(
    pg,
    /* sql */ `with stages as (
        insert into pg2click.stage (table_id, stage, position)
        select $1, start.key, start.value from jsonb_each($3::jsonb) start
        on conflict (table_id, stage) do update set position = excluded.position)
      update pg2click.replicated_table set ready = true, fingerprint = $2 where id = $1`,
    [table.id, start.fingerprint, JSON.stringify(start.positions)],
  );
}

export async function saveFingerprint(pg: Queryable, id: string, fingerprint: string): Promise<void> {
  await query(pg, /* sql */ `update pg2click.replicated_table set fingerprint = $2 where id = $1`, [id, fingerprint]);
}

/** Forgets a table; the highest generation it had stays in `pg2click.history`. */
export async function deleteTable(pg: Queryable, id: string): Promise<void> {
  await query(pg, /* sql */ `delete from pg2click.replicated_table where id = $1`, [id]);
}

/** Also finds a table that an interrupted `add` left half prepared. */
export async function findTableId(pg: Queryable, pipeline: string, name: TableName): Promise<string | undefined> {
  const found = await query<{ id: string }>(
    pg,
    /* sql */ `select id::text from pg2click.replicated_table where pipeline = $1 and schema_name = $2 and table_name = $3`,
    [pipeline, name.schema, name.table],
  );
  return found.rows[0]?.id;
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
    ...row.definition,
  };
}
