import type { Queryable } from '../../connect/queryable.js';
import type { Column, ReplicatedTable } from '../../domain/replicated-table.js';
import { keyColumn, outboxTable } from './names.js';

export interface CaptureColumn extends Column {
  /** As `quote_ident` has it. */
  readonly quoted: string;
}

/** What a capture function knows of the key: all of it is of one moment. */
export interface CaptureKey {
  /** In key order. */
  readonly columns: readonly CaptureColumn[];
  /** The unique index on the key, and the place (from 1) of each key column in it; null where the typed way is closed. */
  readonly index: { readonly oid: string; readonly places: readonly number[] } | null;
  /** The outbox has columns `shape` and `loose`; those of pg2click 0.1 had neither. */
  readonly hasLoose: boolean;
}

interface Found {
  readonly index: string | null;
  readonly places: readonly number[] | null;
  readonly quoted: readonly string[];
  readonly fits: boolean;
  readonly hasLoose: boolean;
}

/**
 * One statement, so that index, names and types are of one moment: an ALTER TYPE that comes between this and the making of
 * the function gives the index another oid, and the function does not take the typed way.
 */
const FIND = /* sql */ `
  with wanted as (
    select place, attnum, name, own
    from unnest($2::int[], $3::text[], $4::text[]) with ordinality wanted (attnum, name, own, place)
  ), fitting as (
    select count(*) = (select count(*) from wanted) as fits
    from wanted w
    join pg_attribute a on a.attrelid = $1::oid and a.attnum = w.attnum and a.attname = w.name and not a.attisdropped
    join pg_attribute o on o.attrelid = to_regclass($5) and o.attname = w.own and not o.attisdropped
    where o.atttypid = (
      with recursive level (type, depth) as (
        select a.atttypid, 0
        union all
        select d.typbasetype, level.depth + 1 from level join pg_type d on d.oid = level.type and d.typtype = 'd'
      )
      select type from level order by depth desc limit 1)
  ), index as (
    select i.indexrelid::text as oid, places.list as places
    from pg_index i
    cross join lateral (
      select array_agg(k.place order by w.place) as list
      from wanted w
      join (select place, i.indkey[place - 1] as attnum from generate_series(1, i.indnkeyatts::int) place) k using (attnum)
    ) places
    where i.indrelid = $1::oid and i.indisunique and i.indisvalid and i.indimmediate
      and i.indpred is null and i.indexprs is null
      and i.indnkeyatts = (select count(*) from wanted) and cardinality(places.list) = i.indnkeyatts
    order by i.indisprimary desc, i.indexrelid
    limit 1
  )
  select (select oid from index) as index, (select places from index) as places,
    array(select quote_ident(name) from wanted order by place) as quoted,
    (select fits from fitting) as fits,
    exists (select from pg_attribute o
      where o.attrelid = to_regclass($5) and o.attname = 'loose' and not o.attisdropped) as "hasLoose"`;

/** @returns with an index only while each key column has the name it was added with, and the type of its twin in the outbox */
export async function readCaptureKey(
  pg: Queryable,
  table: Pick<ReplicatedTable, 'id' | 'relation' | 'columns' | 'key'>,
): Promise<CaptureKey> {
  const columns = table.key.map((name) => {
    const column = table.columns.find((candidate) => candidate.name === name);
    if (column === undefined) throw new TypeError(`key column ${name} is not a column of the table`);
    return column;
  });
  const found = await pg.query<Found>(FIND, [
    table.relation,
    columns.map(({ position }) => position),
    columns.map(({ name }) => name),
    columns.map((_, index) => keyColumn(index)),
    outboxTable(table.id),
  ]);
  const [row] = found.rows;
  if (row === undefined) throw new Error('a select of one row returned none');
  const { index, places, quoted, fits, hasLoose } = row;
  return {
    columns: columns.map((column, at) => ({ ...column, quoted: quoted[at] ?? '' })),
    index: index === null || places === null || !fits ? null : { oid: index, places },
    hasLoose,
  };
}
