import type { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import { DELETED_COLUMN, targetColumns, VERSION_COLUMN } from '../../domain/column-type.js';
import { physicalName, shownName, underPhysicalNames, type TargetTable } from '../../domain/replicated-table.js';
import { minorOf } from '../../domain/version.js';
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
  /** Whether the rows of the target have versions. Each row goes under its own; a plain MergeTree has none. */
  readonly versions: boolean;
  /** Reads rows by their keys, as they are now: lines of `targetColumns`. @param keys JSON objects with a version */
  readonly read: (keys: readonly Buffer[]) => Readable;
  readonly signal: AbortSignal;
}

/**
 * Inserts rows of a table that only grows again, as they are in PostgreSQL now, where their keys are not there yet: nobody sees how
 * they are corrected. The stage itself never inserts them any more: they are holes of its batches.
 * @returns `ids`: also of those that are gone from PostgreSQL
 */
export async function retryAppended(
  ch: ClickHouseClient,
  table: TargetTable,
  rows: readonly RetriedRow[],
  { versions, read, signal }: AppendedOptions,
): Promise<Retried> {
  const known = rows.flatMap(({ id, key, version }) => {
    if (key === null || (versions && version === null)) return [];
    return [{ id, key, version: versions ? version : null }];
  });
  const there = new Set(await presentRows(ch, table, known, versions));
  const wanted = known.filter(({ id }) => !there.has(id));
  if (wanted.length === 0) return { ids: [...there], marked: [] };
  const columns = targetColumns(table).map(({ name }) => name);
  const found: { readonly id: string; readonly raw: Buffer }[] = [];
  const gone: string[] = [];
  for (const line of linesOf(await collect(read(wanted.map((row) => keyObject(table, row)))))) {
    const fields = textFields(line, columns);
    const key = keyOf(table, {}, fields);
    const id = wanted.find((row) => row.key === key)?.id;
    if (id === undefined) continue;
    if (fields?.get(DELETED_COLUMN) === '1') gone.push(id);
    else found.push({ id, raw: versions ? line : withoutVersion(line) });
  }
  const names = versions ? columns : appendColumns(table).map(({ name }) => name);
  const format = { format: 'TabSeparated', columns: names } as const;
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

/** The columns of now are read: the version says so. */
function keyObject(
  { key, columns, shape }: TargetTable,
  row: { readonly key: string; readonly version: string | null },
): Buffer {
  const values = JSON.parse(row.key) as string[];
  const before = BigInt(row.version ?? 0);
  const version = row.version === null ? before : before - minorOf(before) + BigInt(shape);
  const shown = new Map(columns.map((column) => [column.name, shownName(column)]));
  const named = key.map((each) => shown.get(each) ?? each).map((name, index) => [name, values[index] ?? ''] as const);
  return Buffer.from(JSON.stringify(Object.fromEntries([...named, [VERSION_COLUMN, version.toString()]])));
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
