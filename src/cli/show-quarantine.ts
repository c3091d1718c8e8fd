import chalk from 'chalk';
import { connectPostgres, ledgerSettings } from '../connect/postgres.js';
import { notReplicated } from '../control/send-command.js';
import type { Queryable } from '../connect/queryable.js';
import { isRowId, type RowOrigin } from '../domain/quarantine.js';
import { columnType } from '../domain/column-type.js';
import { quotePg } from '../domain/identifier.js';
import { sourceName, type ReplicatedTable } from '../domain/replicated-table.js';
import { sqlName, parseTableName, shellName } from '../domain/table-name.js';
import { Failure } from '../failure/failure.js';
import { marksOf } from '../clickhouse/quarantine/marks.js';
import { CLICKHOUSE_CODES } from '../failure/clickhouse-codes.js';
import { findQuarantined, listQuarantine, type QuarantinedRow } from '../ledger/quarantine-rows.js';
import { findTable } from '../ledger/tables.js';
import type { Exit } from './exit-code.js';
import type { Session } from './session.js';
import { alignColumns } from './status-picture.js';

/** Of a table that is far over any limit, the oldest ones. */
const MOST_ROWS = 1_000;

/** The ledger alone is asked: no worker need run. */
export async function listRows(
  session: Session,
  table: string | undefined,
  { all = false }: { readonly all?: boolean },
): Promise<Exit> {
  return withLedger<Exit>(session, async (ledger) => {
    const { pipeline } = session.settings;
    const tableId = table === undefined ? undefined : (await requireTable(session, ledger, table)).id;
    const rows = await listQuarantine(ledger, { pipeline, tableId, all, limit: MOST_ROWS });
    if (session.json) session.print(JSON.stringify({ rows: rows.map(view) }));
    else if (rows.length === 0) session.print('No row is in quarantine.');
    else for (const line of alignColumns([TITLES, ...rows.map(cellsOf)], 0)) session.print(line);
    if (rows.length === MOST_ROWS) session.tell(`These are the first ${MOST_ROWS}.`);
    return 'done';
  });
}

export async function showRow(session: Session, table: string, id: string, _options: object): Promise<Exit> {
  return withLedger<Exit>(session, async (ledger) => {
    const known = await requireTable(session, ledger, table);
    const row = isRowId(id) ? await findQuarantined(ledger, known.id, id) : undefined;
    if (row === undefined)
      throw new Failure('Misconfigured', {
        message: `${sqlName(known.name)} has no row ${id} in quarantine.`,
        remedy: `See them with "pg2click quarantine list ${shellName(known.name)} --all".`,
      });
    const { key, version, format, columns, raw, ...rest } = row;
    const values = raw === null ? null : raw.toString('utf8');
    const marked = explainMark(known, row);
    if (session.json) {
      session.print(
        JSON.stringify({ ...view(rest), key, version, format, columns, raw: values, find: marked?.find ?? null }),
      );
      return 'done';
    }
    const facts: readonly (readonly [string, string | null])[] = [
      ['row', `${row.id}, ${row.state}`],
      ['key', key === null ? null : known.key.map((name, index) => `${name} = ${key[index] ?? ''}`).join(', ')],
      ['column', row.column],
      ['cause', causeOf(row)],
      ['without a place', marked?.note ?? null],
      ['find it', marked?.find ?? null],
      ['from', `${row.stage}, ${placeOf(row.origin)}`],
      ['missing in', row.target],
      ['since', row.at],
      ['closed', row.closedAt],
      ['columns', columns?.join(', ') ?? null],
      [format, values],
    ];
    for (const line of alignColumns(
      facts.flatMap(([name, value]) => (value === null ? [] : [[chalk.dim(name), value]])),
      0,
    ))
      session.print(line);
    return 'done';
  });
}

/**
 * Of a row whose column is sent as a mark: what the mark stands for, and the SELECT that finds the row, also where the key itself has no
 * place and is not known.
 */
function explainMark(
  table: ReplicatedTable,
  { column: name }: QuarantinedRow,
): { note: string; find: string } | undefined {
  const column = table.columns.find((each) => each.name === name);
  const outside = column && columnType(column).outside;
  const mark = column && marksOf([column], (each) => each.name).get(column.name)?.mark;
  if (column === undefined || outside === undefined || mark === undefined) return undefined;
  return {
    note: `${outside.words}; ${column.name} is shown as ${mark}, whatever value it has`,
    find: `select * from ${sqlName(sourceName(table))} where ${outside.when(quotePg(column.name))}`,
  };
}

const TITLES = ['id', 'table', 'state', 'column', 'cause', 'from', 'missing in', 'since'].map((title) =>
  chalk.dim(title),
);

function cellsOf(row: QuarantinedRow): string[] {
  const from = `${row.stage}, ${placeOf(row.origin)}`;
  return [row.id, row.table, row.state, row.column ?? '-', causeOf(row), from, row.target, row.at];
}

/** The hash of a key is of no use to people. */
function view({ origin, ...row }: QuarantinedRow) {
  const place = 'offset' in origin ? origin : { position: origin.position };
  return { ...row, origin: place, cause: CLICKHOUSE_CODES[row.code]?.[0] ?? null };
}

function placeOf(origin: RowOrigin): string {
  if ('offset' in origin)
    return `partition ${origin.partition}, offset ${origin.offset}${origin.row === 0 ? '' : `, row ${origin.row}`}`;
  return origin.position === null ? 'the table' : `position ${origin.position}`;
}

function causeOf({ code }: QuarantinedRow): string {
  const name = CLICKHOUSE_CODES[code]?.[0];
  return name === undefined ? String(code) : `${code} ${name}`;
}

async function withLedger<T>({ settings, signal }: Session, body: (ledger: Queryable) => Promise<T>): Promise<T> {
  await using ledger = await connectPostgres(ledgerSettings(settings), { name: 'cli', signal });
  return await body(ledger);
}

async function requireTable({ settings }: Session, ledger: Queryable, table: string): Promise<ReplicatedTable> {
  const name = parseTableName(table);
  const found = await findTable(ledger, settings.pipeline, name);
  if (found === undefined) throw notReplicated({ ...name, pipeline: settings.pipeline });
  return found;
}
