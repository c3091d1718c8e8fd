import type { ClickHouseClient } from '@clickhouse/client';
import type { Client } from 'pg';
import { quoteCh, quotePg } from '../../src/domain/identifier.js';
import { formatTableName, type TableName } from '../../src/domain/table-name.js';
import { Failure } from '../../src/failure/failure.js';
import { copyOut } from '../../src/source/copy/copy-out.js';
import { clickhouseText, postgresText, showKey, type JudgedColumn } from './canonical.js';
import { Lines } from './lines.js';

/** Keys that are named of those that differ. */
const SHOWN_DIFFERENCES = 10;

export interface Difference {
  /** `missing` in ClickHouse, `extra` there (or there twice), or `changed`: the same key with another value. */
  readonly kind: 'missing' | 'extra' | 'changed';
  /** For a person: `(AA, 12)`. */
  readonly key: string;
}

export interface Comparison {
  readonly table: string;
  /** Rows read of PostgreSQL and of ClickHouse. */
  readonly source: number;
  readonly target: number;
  /** Rows that are the same on both sides, to the last bit. */
  readonly equal: number;
  readonly missing: number;
  readonly extra: number;
  readonly changed: number;
  /** The first ten, in the order of the bytes compared. */
  readonly differences: readonly Difference[];
  readonly elapsedMs: number;
}

export interface CompareOptions {
  /** A connection that nothing else uses meanwhile. */
  readonly postgres: Client;
  readonly clickhouse: ClickHouseClient;
  readonly table: TableName;
  /** A condition in SQL; all rows when absent. */
  readonly where?: string | undefined;
  /** The relation of live rows in ClickHouse. */
  readonly view: { readonly database: string; readonly table: string };
  readonly signal?: AbortSignal;
}

/** As text has to be printed that both sides have: intervals, ranges of time, names in reg* types. */
const BEGIN_PRINTING = /* sql */ `begin read only;
  set local search_path = pg_catalog, pg_temp;
  set local timezone = 'UTC';
  set local datestyle = 'ISO';
  set local intervalstyle = 'postgres';
  set local bytea_output = 'hex';
  set local extra_float_digits = 1`;

export function isEqual(comparison: Comparison): boolean {
  return comparison.missing + comparison.extra + comparison.changed === 0 && comparison.source === comparison.equal;
}

/**
 * Compares every row and every column of a table with a relation of ClickHouse. Both servers print each row in one
 * notation of our own, ordered by the bytes of the key; the two streams are merged here.
 *
 * It is a judge: columns and key come from PostgreSQL's catalogue, and nothing that pg2click uses to move or map values
 * takes part. Neither side may be written to meanwhile, or the difference is reported.
 *
 * @throws Failure `MissingTable`, `SchemaMismatch` (other columns there); and those of both clients
 */
export async function compareTable(options: CompareOptions): Promise<Comparison> {
  const startedAt = Date.now();
  const { table, where = 'true', view, signal } = options;
  const { columns, key } = await judgedColumns(options.postgres, table);
  const texts = await expectColumns(options.clickhouse, view, columns);
  const isText = (column: JudgedColumn): JudgedColumn => ({ ...column, isText: texts.has(column.name) });
  const keyColumns = key.map(isText);
  const rest = columns.filter((column) => !key.includes(column)).map(isText);

  const rows = /* sql */ `
    select ${postgresText(keyColumns)} as key, ${postgresText(rest)} as rest
    from ${quotePg(table.schema)}.${quotePg(table.table)} where ${where}`;
  const copy = /* sql */ `copy (select key, rest from (${rows}) rows order by key collate "C") to stdout`;
  const target = await options.clickhouse.exec({
    query: /* sql */ `
      select ${clickhouseText(keyColumns)} as judged_key, ${clickhouseText(rest)} as judged_rest
      from ${quoteCh(view.database)}.${quoteCh(view.table)}
      order by judged_key
      format TabSeparatedRaw`,
    ...(signal === undefined ? {} : { abort_signal: signal }),
  });
  // Last: nothing runs on the connection when the other side refuses.
  await options.postgres.query(BEGIN_PRINTING);
  const source = copyOut(options.postgres, copy);
  try {
    const found = await merge(new Lines(source), new Lines(target.stream), signal);
    await options.postgres.query('commit');
    return {
      table: formatTableName(table),
      ...found,
      differences: found.differences.map((difference) => ({ ...difference, key: showKey(keyColumns, difference.key) })),
      elapsedMs: Date.now() - startedAt,
    };
  } finally {
    source.destroy();
    target.stream.destroy();
  }
}

/** @returns what differs, keys in canonical notation */
async function merge(
  source: Lines,
  target: Lines,
  signal: AbortSignal | undefined,
): Promise<Omit<Comparison, 'table' | 'elapsedMs'>> {
  const count = { missing: 0, extra: 0, changed: 0 };
  const differences: Difference[] = [];
  const note = (kind: Difference['kind'], key: string): void => {
    count[kind] += 1;
    if (differences.length < SHOWN_DIFFERENCES) differences.push({ kind, key });
  };
  let equal = 0;
  let more = await source.read();
  let moreTarget = await target.read();
  while (more || moreTarget) {
    const order = !more ? 1 : !moreTarget ? -1 : source.compareKey(target);
    if (order < 0) note('missing', source.key);
    else if (order > 0) note('extra', target.key);
    else if (source.equals(target)) equal += 1;
    else note('changed', source.key);
    if (order <= 0 && !source.step()) {
      signal?.throwIfAborted();
      more = await source.read();
    }
    if (order >= 0 && !target.step()) moreTarget = await target.read();
  }
  return { source: source.count, target: target.count, equal, ...count, differences };
}

async function judgedColumns(
  pg: Client,
  name: TableName,
): Promise<{ columns: readonly JudgedColumn[]; key: readonly JudgedColumn[] }> {
  const { rows } = await pg.query<{ name: string; type: string; key: number | null }>(
    /* sql */ `
    select
      a.attname as name,
      case t.typtype when 'e' then 'enum' else format_type(t.oid, null) end as type,
      array_position(i.indkey::int2[], a.attnum) as key
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    cross join lateral (
      with recursive level (type, depth) as (
        select a.atttypid, 0
        union all
        select d.typbasetype, level.depth + 1 from level join pg_type d on d.oid = level.type and d.typtype = 'd'
      )
      select type from level order by depth desc limit 1
    ) base
    join pg_type t on t.oid = base.type
    left join pg_index i on i.indrelid = c.oid and i.indisprimary
    where n.nspname = $1 and c.relname = $2
    order by a.attnum`,
    [name.schema, name.table],
  );
  const keyed = rows.filter((row) => row.key !== null).toSorted((a, b) => (a.key ?? 0) - (b.key ?? 0));
  if (keyed.length === 0) {
    throw new Failure('MissingTable', {
      message: `There is no table ${formatTableName(name)} with a primary key to compare by.`,
    });
  }
  return { columns: rows, key: keyed };
}

/**
 * A column that is there beyond those compared, or not there at all, is a difference too.
 * @returns names of those that hold text
 */
async function expectColumns(
  ch: ClickHouseClient,
  view: CompareOptions['view'],
  columns: readonly JudgedColumn[],
): Promise<ReadonlySet<string>> {
  const answer = await ch.query({
    query: /* sql */ `
      select name, type from system.columns
      where database = {database: String} and table = {table: String} order by position`,
    query_params: { database: view.database, table: view.table },
    format: 'JSONEachRow',
  });
  const there = await answer.json<{ name: string; type: string }>();
  const found = there.map((column) => column.name);
  const wanted = columns.map((column) => column.name);
  if (JSON.stringify(found) === JSON.stringify(wanted))
    return new Set(there.filter(({ type }) => type.includes('String')).map(({ name }) => name));
  throw new Failure('SchemaMismatch', {
    message: `${view.database}.${view.table} in ClickHouse has the columns ${found.join(', ') || '(none)'}, not ${wanted.join(', ')}.`,
  });
}
