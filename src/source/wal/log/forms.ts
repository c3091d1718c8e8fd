import type { Queryable } from '../../../connect/queryable.js';
import { literal } from '../../../domain/identifier.js';
import { outboxTable } from '../../outbox/names.js';
import { valueColumn } from './log-table-sql.js';

/** The columns of a table, as changes in its outbox have them: a row of `pg2click.wal_form`. */
export interface Form {
  /** From 1. */
  readonly form: number;
  /** In the order of their attribute numbers. */
  readonly names: readonly string[];
  /** Oids, decimal. */
  readonly types: readonly string[];
  /** Of each column the number of its column in the outbox. */
  readonly places: readonly number[];
}

export type FormColumns = Pick<Form, 'names' | 'types'>;

/** All that a table has had, in their order. */
export async function readForms(pg: Queryable, id: string): Promise<readonly Form[]> {
  const found = await pg.query<{ form: Form }>(
    /* sql */ `select jsonb_build_object('form', f.form, 'names', f.names, 'types', f.types::text[], 'places', f.places) as form
      from pg2click.wal_form f where f.table_id = $1 order by f.form`,
    [id],
  );
  return found.rows.map(({ form }) => form);
}

/** The columns that PostgreSQL sends of a table: generated ones are not among them. */
export async function readFormColumns(pg: Queryable, relation: string): Promise<FormColumns> {
  const found = await pg.query<{ columns: FormColumns }>(
    /* sql */ `select jsonb_build_object('names', coalesce(jsonb_agg(a.attname order by a.attnum), '[]'),
        'types', coalesce(jsonb_agg(a.atttypid::text order by a.attnum), '[]')) as columns
      from pg_catalog.pg_attribute a
      where a.attrelid = $1::oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''`,
    [relation],
  );
  return found.rows[0]?.columns ?? { names: [], types: [] };
}

/** The names that columns have now, in no order. @param numbers of attributes */
export async function readNames(
  pg: Queryable,
  relation: string,
  numbers: readonly number[],
): Promise<readonly string[]> {
  if (numbers.length === 0) return [];
  const found = await pg.query<{ name: string }>(
    /* sql */ `select a.attname::text as name from pg_catalog.pg_attribute a
      where a.attrelid = $1::oid and a.attnum = any ($2::int[]) and not a.attisdropped`,
    [relation, numbers],
  );
  return found.rows.map(({ name }) => name);
}

/**
 * Finds the form of these columns, or makes it, with the columns of the outbox that it needs: a column of the same name and type keeps
 * its place. One transaction: of two who make one at once the second fails, and finds it the next time.
 */
export async function ensureForm(pg: Queryable, id: string, columns: FormColumns): Promise<Form> {
  const forms = await readForms(pg, id);
  const known = forms.findLast((form) => isSame(form.names, columns.names) && isSame(form.types, columns.types));
  if (known !== undefined) return known;
  const before = forms.at(-1);
  let most = Math.max(0, ...forms.flatMap(({ places }) => places));
  const added: number[] = [];
  const places = columns.names.map((name, index) => {
    const place = before?.names.indexOf(name) ?? -1;
    const kept = before?.types[place] === columns.types[index] ? before?.places[place] : undefined;
    if (kept !== undefined) return kept;
    added.push(index);
    return (most += 1);
  });
  const types = await readPlaceTypes(
    pg,
    added.map((index) => columns.types[index] ?? '0'),
  );
  const form = { form: (before?.form ?? 0) + 1, ...columns, places };
  const adds = added.map((column, index) => `add column ${valueColumn(places[column] ?? 0)} ${types[index] ?? 'text'}`);
  // As one message it is one transaction.
  await pg.query(
    [
      /* sql */ `insert into pg2click.wal_form (table_id, form, names, types, places) values (${literal(id)}, ${form.form},
        ${array(form.names)}::text[], ${array(form.types)}::bigint[], ${array(places.map(String))}::integer[])`,
      ...(adds.length === 0 ? [] : [/* sql */ `alter table ${outboxTable(id)} ${adds.join(', ')}`]),
    ].join(';\n'),
  );
  return form;
}

/**
 * The types of the columns of the outbox that hold values of these types: without modifiers, and of a domain what it is made of, so that
 * any value that was valid when it was written fits. Undefined where it is the text that PostgreSQL prints, of types that are not its
 * own: a column of such a type would keep users from dropping it.
 */
export async function readPlaceTypes(pg: Queryable, oids: readonly string[]): Promise<readonly (string | undefined)[]> {
  const found = await pg.query<{ type: string | null }>(
    /* sql */ `with recursive level (place, type, depth) as (
        select wanted.place, wanted.type::oid, 0 from unnest($1::bigint[]) with ordinality wanted (type, place)
        union all
        select level.place, d.typbasetype, level.depth + 1
        from level join pg_catalog.pg_type d on d.oid = level.type and d.typtype = 'd'
      ), base as (select distinct on (place) place, type from level order by place, depth desc)
      select case when n.nspname = 'pg_catalog' then pg_catalog.format_type(t.oid, -1) end as type
      from base join pg_catalog.pg_type t on t.oid = base.type join pg_catalog.pg_namespace n on n.oid = t.typnamespace
      order by base.place`,
    [oids],
  );
  return found.rows.map(({ type }) => type ?? undefined);
}

function array(texts: readonly string[]): string {
  return `array[${texts.map(literal).join(', ')}]`;
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((each, index) => each === b[index]);
}
