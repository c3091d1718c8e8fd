import type { Queryable } from '../connect/queryable.js';
import type { ReplicatedTable } from '../domain/replicated-table.js';
import type { TableName } from '../domain/table-name.js';
import { copyStage } from '../domain/route.js';
import type { ShapeClass } from '../domain/shape.js';
import { query } from './query.js';

/** A form of the columns that the ledger does not know yet. */
export interface NewShape {
  readonly columns: ReplicatedTable['columns'];
  readonly key: ReplicatedTable['key'];
  readonly class: ShapeClass;
  readonly change: string;
  readonly fingerprint: string;
  /** The column that a poll follows, under its new name; absent where it has none, or kept its name. */
  readonly cursor?: string;
  /** As in `ReplicatedTable`; absent where the table has the name that it was added with. */
  readonly source?: TableName;
}

/**
 * Gives the columns of a table their next number. One statement, which is a compare-and-set on the number before: of two attempts that
 * saw the same change one writes it, and an attempt that slept while others went on writes nothing. Call it while a lock of the source
 * table holds off the next ALTER, so that the numbers have the order of the changes.
 *
 * It claims the table, because a change of the route that has read the columns before would write them back. With the class `copy` the
 * first loads begin again: their stages are fenced, and have nothing done.
 * @returns false where another attempt was faster: read the table again
 * @throws Failure those of the ledger
 */
export async function noteShape(pg: Queryable, table: ReplicatedTable, next: NewShape): Promise<boolean> {
  const noted = await query<{ id: string }>(pg, NOTE, [
    table.id,
    table.shape,
    table.generation,
    JSON.stringify(next.columns),
    JSON.stringify(next.key),
    next.fingerprint,
    next.class,
    next.change,
    next.cursor ?? null,
    table.route.loaders.map(({ name }) => copyStage(name)),
    table.fingerprint,
    next.source === undefined ? '{}' : JSON.stringify({ source: next.source }),
  ]);
  return noted.rowCount === 1;
}

const NOTE = /* sql */ `
  with before as (
    select id, shape, generation, definition -> 'columns' as columns from pg2click.replicated_table
    where id = $1 and shape = $2 and generation = $3 and fingerprint = $11 and ready for update),
  first as (
    insert into pg2click.shape (table_id, shape, generation, columns, class, change)
    select id, shape, generation, columns, 'follow', '' from before
    on conflict do nothing),
  mine as (
    update pg2click.replicated_table t
    set shape = before.shape + 1, fingerprint = $6, ddl_epoch = ddl_epoch + 1,
        definition = (case when $9::text is null then t.definition
                           else jsonb_set(t.definition, '{route,capture,cursor}', to_jsonb($9::text)) end - 'source')
          || $12::jsonb || jsonb_build_object('columns', $4::jsonb, 'key', $5::jsonb)
    from before where t.id = before.id
    returning t.id),
  again as (
    update pg2click.stage s set epoch = s.epoch + 1, owner = '', position = '{"again": true}', pending = null, proof = null, rows = 0, bytes = 0,
        updated_at = now()
    from before where s.table_id = before.id and $7 = 'copy' and (s.stage = any ($10::text[])
      or (s.stage like 'copy:%' and not s.position ? 'done')))
  insert into pg2click.shape (table_id, shape, generation, columns, class, change)
  select before.id, before.shape + 1, before.generation, $4::jsonb, $7, $8 from before, mine
  returning table_id::text as id`;

/** The shape numbers of many tables, decimal, by id. */
export async function readShapes(pg: Queryable, ids: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const found = await query<{ id: string; shape: string }>(
    pg,
    /* sql */ `select id::text, shape::text from pg2click.replicated_table where id = any ($1::bigint[])`,
    [ids],
  );
  return new Map(found.rows.map(({ id, shape }) => [id, shape]));
}

/** @returns undefined where the table was removed */
export async function readShape(pg: Queryable, id: string): Promise<number | undefined> {
  const found = await query<{ shape: number }>(
    pg,
    /* sql */ `select shape from pg2click.replicated_table where id = $1`,
    [id],
  );
  return found.rows[0]?.shape;
}
