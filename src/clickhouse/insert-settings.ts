import type { ClickHouseClient, ClickHouseSettings } from '@clickhouse/client';
import { select } from './catalog.js';

/** How text is read. A user's profile may set any of these differently, so all of them are sent with every insert. */
const READING = {
  // Both forms of a time zone, `+00` of COPY and `+00:00` of JSON; `basic` refuses the first.
  date_time_input_format: 'best_effort',
  // A NULL for a column that takes none is an error, not the column's default. (Integers, floats and dates of JSON, and
  // strings of TabSeparated, take it for 0 or '' all the same: that a column lost its NOT NULL must be seen at the source.)
  input_format_null_as_default: 0,
  // Tombstones carry the key columns only.
  input_format_defaults_for_omitted_fields: 1,
  input_format_force_null_for_omitted_fields: 0,
  // A column that the target does not have is an error, not dropped.
  input_format_skip_unknown_fields: 0,
  // `Id` and `id` are two columns.
  input_format_column_name_matching_mode: 'match_case',
  input_format_import_nested_json: 0,
  input_format_json_empty_as_default: 0,
  input_format_json_throw_on_bad_escape_sequence: 1,
  // A first row of texts that happen to be the column names is a row.
  input_format_tsv_detect_header: 0,
  input_format_tsv_empty_as_default: 0,
  input_format_tsv_crlf_end_of_line: 0,
  input_format_tsv_allow_variable_number_of_columns: 0,
  format_tsv_null_representation: '\\N',
  bool_true_representation: 'true',
  bool_false_representation: 'false',
  precise_float_parsing: 1,
  // Rows that cannot be read are never skipped.
  input_format_allow_errors_num: '0',
  input_format_allow_errors_ratio: 0,
} as const;

/** Those of them that JSON obeys. */
const JSON_READING = [
  'date_time_input_format',
  'input_format_skip_unknown_fields',
  'input_format_column_name_matching_mode',
  'input_format_import_nested_json',
  'input_format_json_empty_as_default',
  'input_format_json_throw_on_bad_escape_sequence',
  'precise_float_parsing',
] as const satisfies readonly (keyof typeof READING)[];

/** A response must come after the rows are in the table, and must be true. */
const ANSWERING = {
  // On by default since 26.2. A response must mean that the rows are in the table.
  async_insert: 0,
  wait_for_async_insert: 1,
  // Of a body whose connection dies nothing may be inserted, instead of the part that came.
  input_format_connection_handling: 0,
  materialized_views_ignore_errors: 0,
  send_progress_in_http_headers: 0,
  http_write_exception_in_output_format: 0,
} as const;

/**
 * One block an insert, up to 500,000 rows and 100 MB: a token covers one block, and only one block is all or nothing.
 * Bytes are not limited: 100 MB of tombstones fill more memory than that with defaults, and a split would go unnoticed.
 */
const ONE_BLOCK = {
  max_insert_block_size: '1048576',
  max_insert_block_size_bytes: '0',
  min_insert_block_size_rows: '1048576',
  min_insert_block_size_bytes: '0',
  input_format_max_block_size_bytes: '0',
  input_format_max_block_wait_ms: '0',
  input_format_parallel_parsing: 0,
  max_insert_threads: '1',
} as const;

const BLOCK_BYTES = 64 * 1024 * 1024;
/**
 * One block an insert, up to 64 MB: one part, all or nothing. What is larger comes in several blocks, each at most so large in memory.
 * Only for rows with versions, of which a part may stay and be written again.
 */
const USUALLY_ONE_BLOCK: ClickHouseSettings = {
  ...ONE_BLOCK,
  min_insert_block_size_bytes: String(BLOCK_BYTES),
  input_format_max_block_size_bytes: String(BLOCK_BYTES),
};

/** Both names of one switch, and that of INSERT .. SELECT: older servers know the first only, newer ones obey the second. */
const DEDUPLICATED = {
  insert_deduplicate: 1,
  deduplicate_insert: 'enable',
  deduplicate_insert_select: 'enable_even_for_bad_queries',
  // Off, a repeated block is dropped by the table and inserted again by its views.
  deduplicate_blocks_in_dependent_materialized_views: 1,
} as const;

/** Without a token ClickHouse would drop identical blocks as repeats, which is wrong after the target was emptied by hand. */
const NOT_DEDUPLICATED = {
  insert_deduplicate: 0,
  deduplicate_insert: 'disable',
  deduplicate_insert_select: 'disable',
} as const;

/** A block of a partitioned target may hold rows of any number of partitions: the server's 100 would refuse it at each attempt. */
const PARTITIONED = { max_partitions_per_insert_block: '0' } as const;

const NAMED_INSERT: ClickHouseSettings = { ...READING, ...ANSWERING, ...PARTITIONED, ...ONE_BLOCK, ...DEDUPLICATED };
const LIVE_INSERT: ClickHouseSettings = {
  ...READING,
  ...ANSWERING,
  ...PARTITIONED,
  ...USUALLY_ONE_BLOCK,
  ...NOT_DEDUPLICATED,
};
const COPY_INSERT: ClickHouseSettings = {
  ...READING,
  ...ANSWERING,
  ...PARTITIONED,
  ...NOT_DEDUPLICATED,
  // A copy is idempotent by version: it may use every core, and blocks of the server's own size.
  input_format_parallel_parsing: 1,
  // A copy has each key once. To look for others in a block costs a fifth of the insert (1.28 core-seconds a million rows, 1.02 without).
  optimize_on_insert: 0,
};

/** Without parallel parsing the number of a row in an error counts from the first row. */
const PROBE: ClickHouseSettings = { ...READING, ...ANSWERING, ...ONE_BLOCK, ...NOT_DEDUPLICATED };

/** An INSERT .. SELECT: what a user's profile could cut off or change on the way from the text to the table. */
const SELECTED = {
  // A NULL that the table does not take is an error here too.
  insert_null_as_default: 0,
  limit: '0',
  offset: '0',
} as const;

const FENCED_INSERT: ClickHouseSettings = { ...NAMED_INSERT, ...SELECTED };
const MISSING_INSERT: ClickHouseSettings = { ...FENCED_INSERT, ...NOT_DEDUPLICATED };

/** Rows are grouped as they lie in the table, in its order; where that is another one, what does not fit goes to the disk. */
const PRUNE: ClickHouseSettings = {
  ...READING,
  ...ANSWERING,
  ...PARTITIONED,
  ...NOT_DEDUPLICATED,
  ...SELECTED,
  optimize_aggregation_in_order: 1,
  max_block_size: '8192',
  aggregation_in_order_max_block_bytes: String(4 * 1024 * 1024),
  max_bytes_before_external_group_by: String(512 * 1024 * 1024),
  // A key that cannot be read is in no table.
  input_format_allow_errors_num: '1000000000',
};

/** A parameter of the HTTP interface, not in `system.settings`: every server knows it. */
const HTTP_PARAMETERS: ClickHouseSettings = { wait_end_of_query: 1 };

/** Names of the settings that the server of a client knows; read once for each client. */
const knownSettings = new WeakMap<ClickHouseClient, Promise<ReadonlySet<string>>>();

/** Settings of an insert that is one block under a deduplication token. */
export async function namedInsertSettings(ch: ClickHouseClient, token: string): Promise<ClickHouseSettings> {
  return { ...(await onlyKnown(ch, NAMED_INSERT)), ...HTTP_PARAMETERS, insert_deduplication_token: token };
}

/** Settings of a live insert that carries versions and is repeated freely: one block unless it is very large. */
export async function liveInsertSettings(ch: ClickHouseClient): Promise<ClickHouseSettings> {
  return { ...(await onlyKnown(ch, LIVE_INSERT)), ...HTTP_PARAMETERS };
}

/** Settings of an insert of any size, repeated freely. */
export async function copyInsertSettings(ch: ClickHouseClient): Promise<ClickHouseSettings> {
  return { ...(await onlyKnown(ch, COPY_INSERT)), ...HTTP_PARAMETERS };
}

/** Settings of an insert into nothing, which reads the rows as a real one does, one after the other. */
export async function probeSettings(ch: ClickHouseClient): Promise<ClickHouseSettings> {
  return { ...(await onlyKnown(ch, PROBE)), ...HTTP_PARAMETERS };
}

/**
 * How JSON is read, as settings of a table that reads by itself. Its rows come without us, so no insert can send them.
 * Nulls and omitted fields are left out: that table takes NULL everywhere.
 */
export async function knownReadingSettings(ch: ClickHouseClient): Promise<Readonly<Record<string, string | number>>> {
  const json = Object.fromEntries(JSON_READING.map((name) => [name, READING[name]]));
  return (await onlyKnown(ch, json)) as Record<string, string | number>;
}

/**
 * Settings of an insert that selects from its body, as one block.
 * @param mark by which it is found in `system.processes`
 * @param token undefined for an insert that brings only what is not there, whose rows are not named by a token
 */
export async function fencedInsertSettings(
  ch: ClickHouseClient,
  { mark, token }: { readonly mark: string; readonly token: string | undefined },
): Promise<ClickHouseSettings> {
  const known = await onlyKnown(ch, token === undefined ? MISSING_INSERT : FENCED_INSERT);
  const named = token === undefined ? {} : { insert_deduplication_token: token };
  return { ...known, ...HTTP_PARAMETERS, log_comment: mark, ...named };
}

/** How text is read, for a query that reads some. */
export function readingSettings(ch: ClickHouseClient): Promise<ClickHouseSettings> {
  return onlyKnown(ch, READING);
}

/**
 * Settings of a named insert that selects from its body: rows whose names are not those of the target.
 * @param token as in `namedInsertSettings`
 */
export async function mappedInsertSettings(ch: ClickHouseClient, token: string): Promise<ClickHouseSettings> {
  return { ...(await onlyKnown(ch, FENCED_INSERT)), ...HTTP_PARAMETERS, insert_deduplication_token: token };
}

/** Settings of an insert that selects from its own table. */
export async function pruneSettings(ch: ClickHouseClient): Promise<ClickHouseSettings> {
  return { ...(await onlyKnown(ch, PRUNE)), ...HTTP_PARAMETERS };
}

/** Reads the names again at the next insert: the server may have been replaced by another version. */
export function forgetKnownSettings(ch: ClickHouseClient): void {
  knownSettings.delete(ch);
}

async function onlyKnown(ch: ClickHouseClient, settings: ClickHouseSettings): Promise<ClickHouseSettings> {
  let known = knownSettings.get(ch);
  if (known === undefined) {
    known = readKnown(ch);
    knownSettings.set(ch, known);
    // A failed read is not remembered.
    known.catch(() => knownSettings.delete(ch));
  }
  const names = await known;
  return Object.fromEntries(Object.entries(settings).filter(([name]) => names.has(name)));
}

async function readKnown(ch: ClickHouseClient): Promise<ReadonlySet<string>> {
  const names = Object.keys({ ...FENCED_INSERT, ...COPY_INSERT, ...PRUNE }).map((name) => `'${name}'`);
  const query = /* sql */ `select name from system.settings where name in (${names.join(', ')})`;
  const rows = await select<{ name: string }>(ch, query, {}, `asking which settings it has`);
  return new Set(rows.map(({ name }) => name));
}
