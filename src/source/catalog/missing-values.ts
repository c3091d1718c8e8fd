import { text as textOf } from 'node:stream/consumers';
import type { ClientBase } from 'pg';
import { columnType } from '../../domain/column-type.js';
import { literal, quotePg } from '../../domain/identifier.js';
import type { Column } from '../../domain/replicated-table.js';
import { copyOut } from '../copy/copy-out.js';
import type { FoundColumn } from './shape-difference.js';

interface AddedRow {
  readonly position: number;
  readonly computed: boolean;
  /** None where rows of before have none, or were written since. Partitions keep their own. */
  readonly missing: readonly string[];
  readonly type: string;
}

/**
 * What rows of before have in columns that were added: the constant that PostgreSQL keeps for them in place of writing them again. It
 * is printed as COPY prints a value of that type, so that ClickHouse reads it as it reads rows.
 * @param pg in a transaction that reads rows
 */
export async function findMissingValues(
  pg: ClientBase,
  relation: string,
  columns: readonly Column[],
): Promise<FoundColumn[]> {
  if (columns.length === 0) return [];
  const found = await pg.query<AddedRow>(
    /* sql */ `select a.attnum::int as position, a.attgenerated = 'v' as computed,
        array(
          select distinct pg_catalog.array_to_string(m.attmissingval, '') from pg_catalog.pg_attribute m
          where m.atthasmissing and m.attname = a.attname and not m.attisdropped and (m.attrelid = a.attrelid
            or m.attrelid in (select part.relid from pg_catalog.pg_partition_tree(a.attrelid) part where part.isleaf))
        ) as missing,
        pg_catalog.format_type(a.atttypid, a.atttypmod) as type
      from pg_catalog.pg_attribute a where a.attrelid = $1::pg_catalog.oid and a.attnum = any ($2::int[])`,
    [relation, columns.map(({ position }) => position)],
  );
  const rows = new Map(found.rows.map((row) => [row.position, row]));
  const added: FoundColumn[] = [];
  for (const column of columns) {
    const row = rows.get(column.position);
    const [first, ...others] = row?.missing ?? [];
    const isOne = row !== undefined && first !== undefined && others.length === 0;
    const value = isOne ? await copied(pg, column, row.type, first) : {};
    added.push({
      ...column,
      // Partitions that differ have no one value.
      ...(row?.computed === true || others.length > 0 ? { computed: true } : {}),
      ...value,
    });
  }
  return added;
}

/** A literal becomes a value by the input function of its type. A text that is cast could call a function of anybody's. */
async function copied(
  pg: ClientBase,
  column: Column,
  type: string,
  text: string,
): Promise<Pick<FoundColumn, 'missing' | 'placeless'>> {
  const { copy, outside } = columnType(column);
  const name = quotePg(column.name);
  const source = /* sql */ `(select ${literal(text)}::${type} as ${name}) as source`;
  if (outside !== undefined) {
    const found = await pg.query<{ outside: boolean }>(
      /* sql */ `select ${outside.when(`source.${name}`)} as outside from ${source}`,
    );
    if (found.rows[0]?.outside === true) return { placeless: outside.words };
  }
  const printed = await textOf(
    copyOut(pg, /* sql */ `copy (select ${copy(`source.${name}`)} from ${source}) to stdout`),
  );
  return { missing: printed.replace(/\n$/u, '') };
}
