import type { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import { DELETED_COLUMN, targetColumns, VERSION_COLUMN } from '../../domain/column-type.js';
import { physicalName, shownName, underPhysicalNames, type TargetTable } from '../../domain/replicated-table.js';
import type { RetriedRow } from '../../ledger/quarantine-rows.js';
import { appendColumns } from '../append/fit.js';
import { insertValues } from '../insert.js';
import { presentRows } from './close-superseded.js';
import { keyOf } from './identify-row.js';
import { textFields } from './line-fields.js';
import { marksOf } from './marks.js';
import { Probe } from './probe.js';
import { retryToken, takenRows, wholeRows, type Retried } from './retry-rows.js';

const NEWLINE = 0x0a;
const TAB = 0x09;

export interface AppendedOptions {
  /** Reads rows by their keys, as they are now: lines of `targetColumns`. @param keys JSON objects with a version */
  readonly read: (keys: readonly Buffer[]) => Readable;
  readonly signal: AbortSignal;
}

/**
 * Inserts rows again into a plain MergeTree, as they are in PostgreSQL now, where their keys are not there yet. The stage itself never
 * inserts them any more: they are holes of its batches.
 * @returns `ids`: also of those that are gone from PostgreSQL
 */
export async function retryAppended(
  ch: ClickHouseClient,
  table: TargetTable,
  rows: readonly RetriedRow[],
  { read, signal }: AppendedOptions,
): Promise<Retried> {
  const known = rows.flatMap(({ id, key }) => (key === null ? [] : [{ id, key, version: null }]));
  const there = new Set(await presentRows(ch, table, known, false));
  const wanted = known.filter(({ id }) => !there.has(id));
  if (wanted.length === 0) return { ids: [...there], marked: [] };
  const columns = targetColumns(table).map(({ name }) => name);
  const found: { readonly id: string; readonly raw: Buffer }[] = [];
  const gone: string[] = [];
  for (const line of linesOf(await collect(read(wanted.map((row) => keyObject(table, row.key)))))) {
    const fields = textFields(line, columns);
    const key = keyOf(table, {}, fields);
    const id = wanted.find((row) => row.key === key)?.id;
    if (id === undefined) continue;
    if (fields?.get(DELETED_COLUMN) === '1') gone.push(id);
    else found.push({ id, raw: withoutVersion(line) });
  }
  const format = { format: 'TabSeparated', columns: appendColumns(table).map(({ name }) => name) } as const;
  const { rows: whole, marked } = wholeRows(found, format, marksOf(table.columns, physicalName));
  const taken = await takenRows(whole, await Probe.open(ch, table, format), signal);
  // Each under its own token: an earlier attempt whose insert comes late may have had other rows beside it.
  for (const row of taken)
    await insertValues(ch, table, {
      values: [row.raw],
      encoding: format.format,
      names: format.columns,
      columns: underPhysicalNames(table.columns),
      token: retryToken(table, [row]),
      signal,
    });
  return { ids: [...there, ...gone, ...taken.map(({ id }) => id)], marked };
}

/** The version is not used: a plain MergeTree has none. */
function keyObject({ key, columns }: TargetTable, texts: string): Buffer {
  const values = JSON.parse(texts) as string[];
  const shown = new Map(columns.map((column) => [column.name, shownName(column)]));
  const named = key.map((each) => shown.get(each) ?? each).map((name, index) => [name, values[index] ?? ''] as const);
  return Buffer.from(JSON.stringify(Object.fromEntries([...named, [VERSION_COLUMN, '0']])));
}

async function collect(rows: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of rows as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function* linesOf(text: Buffer): Generator<Buffer> {
  let start = 0;
  for (let end = text.indexOf(NEWLINE); end !== -1; end = text.indexOf(NEWLINE, start)) {
    yield text.subarray(start, end);
    start = end + 1;
  }
}

/** Without the last two fields. */
function withoutVersion(line: Buffer): Buffer {
  const deleted = line.lastIndexOf(TAB);
  return line.subarray(0, line.lastIndexOf(TAB, deleted - 1));
}
