import type { Queryable } from '../../connect/queryable.js';
import type { ReplicatedTable } from '../../domain/replicated-table.js';
import { othersSql } from './place.js';

/** A table as `readColumnsTexts` is given it: its oid, and the name that it was added with. */
export function columnsKey({ relation, name }: Pick<ReplicatedTable, 'relation' | 'name'>): string {
  return JSON.stringify([relation, name.schema, name.table]);
}

/**
 * Of many tables a text that differs when their columns do, or their name, or when another table gets the name that they were added
 * with: 25 to 40 ms of PostgreSQL for 1,000 tables of 10 columns. SET STATISTICS and the like change it too.
 * @param keys those of `columnsKey`
 * @returns by key
 */
export async function readColumnsTexts(pg: Queryable, keys: readonly string[]): Promise<ReadonlyMap<string, string>> {
  const tables = keys.map((key) => JSON.parse(key) as readonly [relation: string, schema: string, table: string]);
  const found = await pg.query<{ key: string; text: string }>(
    /* sql */ `select wanted.key, pg_catalog.concat_ws('/', n.nspname, c.relname,
        exists (${othersSql('wanted.schema', 'wanted.name', 'c.oid')}),
        (select pg_catalog.md5(pg_catalog.string_agg(
            pg_catalog.concat_ws(',', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.xmin), ';' order by a.attnum))
          from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attnum > 0)) as text
      from unnest($1::text[], $2::pg_catalog.oid[], $3::text[], $4::text[]) wanted (key, relation, schema, name)
      join pg_catalog.pg_class c on c.oid = wanted.relation
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace`,
    [keys, tables.map(([relation]) => relation), tables.map(([, schema]) => schema), tables.map(([, , name]) => name)],
  );
  return new Map(found.rows.map(({ key, text }) => [key, text]));
}
