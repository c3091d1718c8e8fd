import type { ClickHouseClient } from '@clickhouse/client';
import { classifyClickHouse } from '../failure/classify-clickhouse.js';

/** A table or view, from `system.tables`. */
export interface SinkObject {
  readonly engine: string;
  /** `ReplacingMergeTree(_version, _deleted) ORDER BY ...` */
  readonly engineFull: string;
  /** Comma-separated; the server quotes identifiers where it must; sometimes in parentheses. */
  readonly sortingKey: string;
  readonly comment: string;
}

export interface SinkColumn {
  readonly name: string;
  readonly type: string;
  /** `DEFAULT`, `MATERIALIZED`, `ALIAS`, `EPHEMERAL`, or empty. */
  readonly defaultKind: string;
  readonly inPartitionKey: boolean;
  readonly inSortingKey: boolean;
}

/** @returns undefined when there is no such object (or no such database) */
export async function findObject(
  ch: ClickHouseClient,
  database: string,
  name: string,
): Promise<SinkObject | undefined> {
  return (await findObjects(ch, database, [name])).get(name);
}

/** The objects that exist, by name. */
export async function findObjects(
  ch: ClickHouseClient,
  database: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, SinkObject>> {
  const parameters = Object.fromEntries(names.map((name, index) => [`name_${index}`, name]));
  const listed = names.map((_, index) => `{name_${index}:String}`).join(', ');
  const rows = await select<SinkObject & { readonly name: string }>(
    ch,
    /* sql */ `
    select name, engine, engine_full as engineFull, sorting_key as sortingKey, comment
    from system.tables
    where database = {database:String} and name in (${listed})`,
    { database, ...parameters },
    `looking for ${database}.${names[0] ?? ''}`,
  );
  return new Map(rows.map((row) => [row.name, row]));
}

/** In the table's order; empty when there is no such table. */
export async function listColumns(
  ch: ClickHouseClient,
  database: string,
  table: string,
): Promise<readonly SinkColumn[]> {
  return await select<SinkColumn>(
    ch,
    /* sql */ `
    select name, type, default_kind as defaultKind, is_in_partition_key = 1 as inPartitionKey,
      is_in_sorting_key = 1 as inSortingKey
    from system.columns
    where database = {database:String} and table = {table:String}
    order by position`,
    { database, table },
    `reading the columns of ${database}.${table}`,
  );
}

export async function databaseExists(ch: ClickHouseClient, database: string): Promise<boolean> {
  const rows = await select(
    ch,
    /* sql */ `select name from system.databases where name = {database:String}`,
    { database },
    `looking for database ${database}`,
  );
  return rows.length > 0;
}

/** After this long the connection is dead: catalogue queries take milliseconds. */
const SELECT_TIMEOUT_MS = 30_000;

/**
 * Runs a query of few rows. Errors are classified.
 * @param inBody sends the parameters in the body: a URL is in the access logs of proxies
 */
export async function select<Row>(
  ch: ClickHouseClient,
  query: string,
  parameters: Readonly<Record<string, string>>,
  what: string,
  { inBody = false }: { readonly inBody?: boolean } = {},
): Promise<readonly Row[]> {
  try {
    const abort_signal = AbortSignal.timeout(SELECT_TIMEOUT_MS);
    const result = await ch.query({
      query,
      query_params: parameters,
      use_multipart_params: inBody,
      format: 'JSONEachRow',
      abort_signal,
    });
    return await result.json<Row>();
  } catch (error) {
    throw classifyClickHouse(error, what);
  }
}

/** Runs a statement without a result. Errors are classified. */
export async function execute(ch: ClickHouseClient, query: string, what: string): Promise<void> {
  try {
    await ch.command({ query });
  } catch (error) {
    throw classifyClickHouse(error, what);
  }
}
