import { DatabaseError, type QueryConfig } from 'pg';
import { onOneConnection } from '../../connect/one-connection.js';
import type { Queryable } from '../../connect/queryable.js';
import { literal, quotePg } from '../../domain/identifier.js';
import type { Column, ExcludedColumn } from '../../domain/replicated-table.js';
import { filterColumn, filterSql, type RowFilter } from '../../domain/row-filter.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { Failure } from '../../failure/failure.js';
import { allRows, qualified } from '../outbox/names.js';
import { BEGIN_READING } from '../session.js';

/** A table whose filter is judged. */
export interface JudgedTable {
  readonly name: TableName;
  readonly isTree: boolean;
  /** Those that are replicated. */
  readonly columns: readonly Column[];
  readonly excluded?: readonly ExcludedColumn[];
  /** All that it has. */
  readonly all: readonly Column[];
  readonly estimatedRows: number | null;
}

export interface JudgedFilter {
  readonly where: RowFilter;
  /** Rows that fit, as the planner guesses; null where nothing counted the table yet. */
  readonly estimatedRows: number | null;
}

/** It is part of every statement that reads rows, of the ledger, and of remedies. */
const MOST_CHARACTERS = 10_000;
/** In place of the name of the table. A condition that says it means the whole row, and so columns that do not exist yet. */
const WHOLE_ROW = 'pg2click.row';
const FILTER_INDEX = 'pg2click.filter';
/** What of a filter has to last beside the columns: types and collations are changed with the columns that have them. */
const LASTING = `'pg_catalog.pg_type'::pg_catalog.regclass, 'pg_catalog.pg_collation'::pg_catalog.regclass`;

/**
 * Lets PostgreSQL judge a condition as that of a partial index of an empty temporary table, which is rolled back. So it is one boolean
 * expression over one row, without subqueries and aggregates, and its functions are IMMUTABLE: nothing but a change of the row
 * changes what it says, and every change of the row has an event.
 *
 * What PostgreSQL prints of it is what rows are read with, never the text that was given: that would be read again with each
 * statement, `'today'` as another day each time, and whatever it says behind a parenthesis. Catalogue entries say what it depends on.
 * @param pg not in a transaction
 * @throws Failure `UnsuitableTable` for one that is not exact; `Unauthorized` where the role may make no temporary tables
 */
export async function judgeFilter(pg: Queryable, table: JudgedTable, text: string): Promise<JudgedFilter> {
  const title = formatTableName(table.name);
  const refuse = refusing(title);
  if (typeof text !== 'string' || text.trim() === '') throw refuse('is empty', 'Leave --where out for all rows.');
  if (text.length > MOST_CHARACTERS) throw refuse(`has more than ${MOST_CHARACTERS} characters`, 'Make it shorter.');
  // Also the names that stand for columns, which PostgreSQL prints only where we put them.
  if (text.includes('pg2click.')) throw refuse('names something of pg2click', 'Name columns of the table only.');
  return onOneConnection(pg, async (connection) => {
    await connection.query(`${BEGIN_READING}; set local statement_timeout = '10s'`);
    try {
      return await judge(connection, table, text);
    } finally {
      await connection.query('rollback').catch(() => undefined);
    }
  });
}

async function judge(pg: Queryable, table: JudgedTable, text: string): Promise<JudgedFilter> {
  const refuse = refusing(formatTableName(table.name));
  await requireTemporary(pg, table.name);
  const copy = `pg_temp.${quotePg(table.name.table)}`;
  await pg.query(/* sql */ `lock table only ${qualified(table.name)} in access share mode`);
  await pg.query(/* sql */ `create temporary table ${copy} (like ${qualified(table.name)})`);
  // Its own line: a comment in it ends there. The extended protocol takes one statement and no more.
  const index = /* sql */ `create index ${quotePg(FILTER_INDEX)} on ${copy} ((1)) where (${text}\n)`;
  await pg.query({ text: index, queryMode: 'extended' } as QueryConfig).catch((error: unknown) => {
    throw explainRefusal(error, refuse);
  });
  const used = await readColumnsUsed(pg, table, copy);
  if (used.length === 0) throw refuse('names no column of it', 'Name one, or leave --where out for all rows.');
  const other = await findOther(pg, copy);
  if (other !== undefined)
    throw refuse(
      `uses ${other}, which may be changed while no row is`,
      `Use functions and operators of PostgreSQL's own, or of an extension.`,
    );
  for (const { name, position } of used)
    await pg.query(
      /* sql */ `alter table ${copy} rename column ${quotePg(name)} to ${quotePg(filterColumn(position))}`,
    );
  await pg.query(/* sql */ `alter table ${copy} rename to ${quotePg(WHOLE_ROW)}`);
  const sql = await printFilter(pg);
  if (sql.includes(quotePg(WHOLE_ROW))) throw refuse('uses the whole row', 'Name columns of the table only.');
  const isHidden = ({ position }: Column): boolean =>
    table.excluded?.some((column) => column.position === position) === true;
  const hidden = used.filter(isHidden);
  const columns = used.map(({ position }) => position);
  const where: RowFilter = { sql, columns, ...(hidden.length === 0 ? {} : { hidden }) };
  return { where, estimatedRows: await estimateRows(pg, table, where) };
}

async function requireTemporary(pg: Queryable, name: TableName): Promise<void> {
  const found = await pg.query<{
    may: boolean;
    role: string;
    database: string;
  }>(/* sql */ `select has_database_privilege(current_database(), 'temporary') as may, current_user::text as role,
      current_database()::text as database`);
  const [row] = found.rows;
  if (row?.may === true) return;
  throw new Failure('Unauthorized', {
    message: `PostgreSQL judges the row filter of ${formatTableName(name)} on an empty temporary table, and the role "${row?.role ?? ''}" may make none.`,
    remedy: `grant temporary on database ${quotePg(row?.database ?? '')} to ${quotePg(row?.role ?? '')}. Once the table is added it can be revoked.`,
  });
}

async function readColumnsUsed(pg: Queryable, { all }: JudgedTable, copy: string): Promise<readonly Column[]> {
  const found = await pg.query<{ name: string }>(/* sql */ `select distinct a.attname::text as name from pg_depend d
      join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
      where ${ofFilter(copy)} and d.refobjid = ${literal(copy)}::regclass and d.refobjsubid > 0`);
  return all.filter((column) => found.rows.some(({ name }) => name === column.name));
}

/** @returns a function, operator or table that is neither PostgreSQL's own nor of an extension, as PostgreSQL describes it */
async function findOther(pg: Queryable, copy: string): Promise<string | undefined> {
  const found = await pg.query<{
    what: string;
  }>(/* sql */ `select pg_describe_object(d.refclassid, d.refobjid, 0) as what from pg_depend d
      where ${ofFilter(copy)} and d.refobjid <> ${literal(copy)}::regclass and d.refclassid not in (${LASTING})
        and not exists (select from pg_depend e
          where e.classid = d.refclassid and e.objid = d.refobjid and e.deptype = 'e') order by 1 limit 1`);
  return found.rows[0]?.what;
}

function ofFilter(copy: string): string {
  return /* sql */ `d.classid = 'pg_class'::regclass and d.objid = (
    select i.indexrelid from pg_index i where i.indrelid = ${literal(copy)}::regclass and i.indpred is not null)`;
}

async function printFilter(pg: Queryable): Promise<string> {
  const found = await pg.query<{
    sql: string;
  }>(/* sql */ `select pg_get_expr(i.indpred, i.indrelid) as sql from pg_index i
      where i.indrelid = ${literal(`pg_temp.${quotePg(WHOLE_ROW)}`)}::regclass and i.indpred is not null`);
  return found.rows[0]?.sql ?? '';
}

/** Also shows that the table can be read with it. */
async function estimateRows(pg: Queryable, table: JudgedTable, where: RowFilter): Promise<number | null> {
  const { name, isTree, all, estimatedRows } = table;
  const rows = allRows(name, isTree);
  const condition = filterSql({ columns: all, where }) ?? 'true';
  const found = await pg.query<Record<'QUERY PLAN', string | readonly [{ readonly Plan: Record<string, unknown> }]>>(
    /* sql */ `explain (format json) select from ${rows} where ${condition}`,
  );
  const plan = found.rows[0]?.['QUERY PLAN'];
  const [read] = (typeof plan === 'string' ? JSON.parse(plan) : plan) as [{ Plan: { 'Plan Rows': number } }];
  return estimatedRows === null ? null : read.Plan['Plan Rows'];
}

type Refuse = (what: string, remedy: string) => Failure;

function refusing(title: string): Refuse {
  return (what, remedy) => new Failure('UnsuitableTable', { message: `The row filter of ${title} ${what}.`, remedy });
}

/** By SQLSTATE. */
const NOT_IMMUTABLE = '42P17';
const NOT_OF_ONE_ROW: readonly string[] = ['0A000', '42803', '42P20'];
/** The classes of what is wrong with a condition; what is said of it holds no value of a row, for there is none. */
const OF_CONDITIONS: readonly string[] = ['22', '42', '54'];

function explainRefusal(error: unknown, refuse: Refuse): unknown {
  if (!(error instanceof DatabaseError) || error.code === undefined) return error;
  if (error.code === NOT_IMMUTABLE)
    return refuse(
      'may change its mind about a row that does not change',
      'Use functions that are IMMUTABLE: not now(), current_date, current_user or random(), and no cast that depends on a setting of the session.',
    );
  if (NOT_OF_ONE_ROW.includes(error.code))
    return refuse(
      'needs more than one row of the table alone',
      'Leave out subqueries, aggregates, window functions, set-returning functions and system columns.',
    );
  if (OF_CONDITIONS.includes(error.code.slice(0, 2)))
    return refuse(`is refused by PostgreSQL: ${error.message}`, 'Write a condition over its columns, as after WHERE.');
  return error;
}
