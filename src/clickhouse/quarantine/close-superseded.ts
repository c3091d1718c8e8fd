import type { ClickHouseClient } from '@clickhouse/client';
import { VERSION_COLUMN } from '../../domain/column-type.js';
import { quoteCh } from '../../domain/identifier.js';
import { lackingTarget } from '../../domain/quarantine.js';
import { physicalKey, type TargetTable } from '../../domain/replicated-table.js';
import { ClickHouseAnswer } from '../../failure/classify-clickhouse.js';
import { CLICKHOUSE_CODES } from '../../failure/clickhouse-codes.js';
import { Failure } from '../../failure/failure.js';
import type { Queryable } from '../../connect/queryable.js';
import { closeBelow, closeRows, openRows, type OpenRow } from '../../ledger/quarantine.js';
import { listColumns, select } from '../catalog.js';
import { quoteText, targetNames } from '../names.js';
import { escapeText } from './line-fields.js';

/** Rows that are looked for by one query: their keys go in its body. */
const ROWS_A_QUERY = 500;
const BYTES_A_QUERY = 100_000;
/** Of a table that is far over any limit, the oldest ones. */
const MOST_ROWS = 20_000;

export interface QuarantineServices {
  readonly clickhouse: ClickHouseClient;
  readonly ledger: Queryable;
}

/**
 * Closes the rows that are set aside and not missing any more: ClickHouse has their key with the same version or a higher one, or a
 * TRUNCATE came after them. ClickHouse itself is asked, so it does not matter which stage brought the later version, whether an
 * attempt died in between, or how often this runs; an older version closes nothing. Costs nothing while no row is set aside.
 * @param versions whether the rows of the target have versions; without, a row of the key is the row
 * @returns how many are still open
 */
export async function closeSuperseded(
  { clickhouse, ledger }: QuarantineServices,
  table: TargetTable,
  versions: boolean,
): Promise<number> {
  const lacking = lackingTarget(table);
  if (versions) await closeBelow(ledger, lacking, await readFloor(clickhouse, table));
  const open = await openRows(ledger, lacking, MOST_ROWS);
  if (open.length === 0) return 0;
  const found = await presentRows(clickhouse, table, open, versions);
  return open.length - (await closeRows(ledger, lacking.tableId, found, 'superseded'));
}

/** @returns ids of the rows that ClickHouse has, in their version or a later one */
export async function presentRows(
  ch: ClickHouseClient,
  table: TargetTable,
  wanted: readonly OpenRow[],
  versions: boolean,
): Promise<readonly string[]> {
  const existing = await listColumns(ch, table.target.database, table.target.table);
  const types = new Map(existing.map(({ name, type }) => [name, type]));
  const structure = physicalKey(table).map((name) => types.get(name) ?? 'String');
  const found: string[] = [];
  for (const rows of queriesOf(wanted)) found.push(...(await findPresent(ch, table, { rows, structure, versions })));
  return found;
}

async function readFloor(ch: ClickHouseClient, { target }: TargetTable): Promise<string> {
  const { sql, shown } = targetNames(target);
  const query = /* sql */ `select toString(max(version)) as floor from ${sql.floor}`;
  const [found] = await select<{ floor: string }>(ch, query, {}, `reading the floor of ${shown}`);
  return found?.floor ?? '0';
}

function* queriesOf(open: readonly OpenRow[]): Generator<readonly OpenRow[]> {
  let rows: OpenRow[] = [];
  let bytes = 0;
  for (const row of open) {
    if (rows.length > 0 && (rows.length >= ROWS_A_QUERY || bytes + row.key.length > BYTES_A_QUERY)) {
      yield rows;
      rows = [];
      bytes = 0;
    }
    rows.push(row);
    bytes += row.key.length;
  }
  yield rows;
}

interface Wanted {
  readonly rows: readonly OpenRow[];
  /** Types of the key columns. */
  readonly structure: readonly string[];
  readonly versions: boolean;
}

/** A key that ClickHouse cannot read was never there: such rows are taken out of the question by halving. */
async function findPresent(ch: ClickHouseClient, table: TargetTable, wanted: Wanted): Promise<readonly string[]> {
  const { rows } = wanted;
  try {
    return await askPresent(ch, table, wanted);
  } catch (error) {
    if (!isUnreadable(error)) throw error;
    if (rows.length <= 1) return [];
    const half = rows.length >>> 1;
    return [
      ...(await findPresent(ch, table, { ...wanted, rows: rows.slice(0, half) })),
      ...(await findPresent(ch, table, { ...wanted, rows: rows.slice(half) })),
    ];
  }
}

function isUnreadable(error: unknown): boolean {
  if (!(error instanceof Failure && error.cause instanceof ClickHouseAnswer)) return false;
  return CLICKHOUSE_CODES[error.cause.code]?.[1] === 'RowRefused';
}

async function askPresent(
  ch: ClickHouseClient,
  table: TargetTable,
  { rows, structure, versions }: Wanted,
): Promise<readonly string[]> {
  const { sql, shown } = targetNames(table.target);
  const key = structure.map((_, index) => `pg2click_k${index}`);
  const columns = [
    'pg2click_id Int64',
    'pg2click_version UInt128',
    ...key.map((name, at) => `${name} ${structure[at]}`),
  ];
  const entries = `format(TabSeparated, ${quoteText(columns.join(', '))}, {rows:String})`;
  const named = physicalKey(table).map((name, index) => `${quoteCh(name)} as ${key[index]}`);
  const newest = versions ? `max(${quoteCh(VERSION_COLUMN)})` : 'toUInt128(1)';
  const lines = rows.map(({ id, key: texts, version }) =>
    [id, version ?? '0', ...(JSON.parse(texts) as string[]).map(escapeText)].join('\t'),
  );
  const found = await select<{ id: string }>(
    ch,
    /* sql */ `select toString(pg2click_id) as id from ${entries} entry
      inner join (
        select ${named.join(', ')}, ${newest} as pg2click_newest from ${sql.table}
        where (${physicalKey(table).map(quoteCh).join(', ')}) in (select ${key.join(', ')} from ${entries})
        group by ${key.join(', ')}
      ) present using (${key.join(', ')})
      where pg2click_newest >= pg2click_version
      settings date_time_input_format = 'best_effort'`,
    { rows: lines.map((line) => `${line}\n`).join('') },
    `looking in ${shown} for rows that are in quarantine`,
    { inBody: true },
  );
  return found.map(({ id }) => id);
}
