import { createHash } from 'node:crypto';
import type { ClickHouseClient } from '@clickhouse/client';
import { physicalName, shownName, underPhysicalNames, type TargetTable } from '../../domain/replicated-table.js';
import { columnsOfShape } from '../../domain/shape.js';
import { minorOf } from '../../domain/version.js';
import type { RetriedRow } from '../../ledger/quarantine-rows.js';
import { insertValues } from '../insert.js';
import { findRefused } from './find-refused.js';
import { fieldsOf } from './line-fields.js';
import { markedColumn, marksOf, type Marks } from './marks.js';
import { Probe, type LineFormat } from './probe.js';

/** What became of rows that were to be inserted again. The others are refused as before. */
export interface Retried {
  /** Ids of those that are in ClickHouse now. */
  readonly ids: readonly string[];
  /** Columns of PostgreSQL: some of the rows hold a mark there in place of the value, and are not inserted. */
  readonly marked: readonly string[];
}

/**
 * Inserts kept rows again as they were sent, under their own versions: a later version that is there already wins. A row that holds
 * a mark is not inserted: PostgreSQL does not have that value.
 */
export async function retryRows(
  ch: ClickHouseClient,
  table: TargetTable,
  rows: readonly RetriedRow[],
  signal: AbortSignal,
): Promise<Retried> {
  const ids: string[] = [];
  const marked: string[] = [];
  for (const [format, its] of byFormat(table, rows)) {
    const probe = await Probe.open(ch, table, format);
    const whole = wholeRows(its, format, marksIn(table, format));
    marked.push(...whole.marked);
    const taken = await takenRows(whole.rows, probe, signal);
    await insertValues(ch, table, {
      values: taken.map(({ raw }) => raw),
      encoding: format.format,
      names: format.columns,
      columns: format.shape ?? underPhysicalNames(table.columns),
      token: retryToken(table, taken),
      signal,
    });
    ids.push(...taken.map(({ id }) => id));
  }
  return { ids, marked };
}

function marksIn(table: TargetTable, { shape }: LineFormat): Marks {
  if (shape !== undefined) return marksOf(shape, shownName);
  return marksOf([...(table.shapes ?? []).flatMap(({ columns }) => columns), ...table.columns], physicalName);
}

/** The rows without those that hold a mark, or of which that is not known. */
export function wholeRows<Row extends { readonly raw: Buffer }>(
  rows: readonly Row[],
  format: Pick<LineFormat, 'format' | 'columns'>,
  marks: Marks,
): { readonly rows: readonly Row[]; readonly marked: readonly string[] } {
  if (marks.size === 0) return { rows, marked: [] };
  const marked: string[] = [];
  const whole = rows.filter(({ raw }) => {
    const fields = fieldsOf(raw, format);
    const column = fields && markedColumn(marks, fields);
    if (column !== undefined) marked.push(column);
    return fields !== undefined && column === undefined;
  });
  return { rows: whole, marked };
}

/** The rows without those that ClickHouse refuses. */
export async function takenRows<Row extends { readonly raw: Buffer }>(
  rows: readonly Row[],
  probe: Probe,
  signal: AbortSignal,
): Promise<readonly Row[]> {
  const refused = new Set<number>();
  const lines = rows.map(({ raw }) => raw);
  for await (const { index } of findRefused(lines, probe, signal)) refused.add(index);
  return rows.filter((_, index) => !refused.has(index));
}

/** One for these rows: a repeat of the insert is dropped. */
export function retryToken(
  { pipeline, id, target: { database, table } }: Pick<TargetTable, 'pipeline' | 'id' | 'target'>,
  rows: readonly { readonly id: string }[],
): string {
  const ids = createHash('sha256')
    .update(rows.map((row) => row.id).join(','))
    .digest('base64url');
  return `pg2click/${pipeline}/${id}/quarantine/${database}.${table}/${ids}`;
}

/**
 * Of a message: the low part of its version is the shape that its names are of. Rows that were read from PostgreSQL have the names of
 * the target.
 */
function shapeOf(table: TargetTable, { origin, version }: RetriedRow): Pick<LineFormat, 'shape'> {
  if (!('offset' in origin)) return {};
  const shape = version === null ? table.shape : Number(minorOf(BigInt(version)));
  return { shape: columnsOfShape(table, shape) ?? table.columns };
}

/** @returns the rows that go into one insert, each with its format */
function byFormat(
  table: TargetTable,
  rows: readonly RetriedRow[],
): readonly (readonly [LineFormat, readonly RetriedRow[]])[] {
  const groups = new Map<string, [LineFormat, RetriedRow[]]>();
  for (const row of rows) {
    const { format, columns } = row;
    const its: LineFormat = { format, columns: columns ?? undefined, ...shapeOf(table, row) };
    const name = JSON.stringify(its);
    const group = groups.get(name);
    if (group === undefined) groups.set(name, [its, [row]]);
    else group[1].push(row);
  }
  return [...groups.values()];
}
