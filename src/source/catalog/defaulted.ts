import type { Queryable } from '../../connect/queryable.js';

/** The columns with a default. @param relation oid */
export async function readDefaulted(pg: Queryable, relation: string): Promise<readonly string[]> {
  const found = await pg.query<{ name: string }>(
    /* sql */ `select attname::text as name from pg_catalog.pg_attribute
      where attrelid = $1::pg_catalog.oid and attnum > 0 and not attisdropped and atthasdef and attgenerated = ''
      order by attnum`,
    [relation],
  );
  return found.rows.map(({ name }) => name);
}
