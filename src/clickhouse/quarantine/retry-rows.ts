import { createHash } from 'node:crypto';
import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../../domain/replicated-table.js';
import { columnsOfShape } from '../../domain/shape.js';
import { minorOf } from '../../domain/version.js';
import type { RetriedRow } from '../../ledger/quarantine-rows.js';
import { insertValues } from '../insert.js';
import { findRefused } from './find-refused.js';
import { Probe, type LineFormat } from './probe.js';

/**
 * Inserts kept rows again as they were sent, under their own versions: a later version that is there already wins.
 * @returns ids of those that ClickHouse takes; the others are refused as before
 */
export async function retryRows(
  ch: ClickHouseClient,
  table: TargetTable,
  rows: readonly RetriedRow[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const inserted: string[] = [];
  for (const [format, its] of byFormat(table, rows)) {
    const probe = await Probe.open(ch, table, format);
    const taken = await takenRows(its, probe, signal);
    await insertValues(ch, table, {
      values: taken.map(({ raw }) => raw),
      encoding: format.format,
      names: format.columns,
      columns: format.shape,
      token: retryToken(table, taken),
      signal,
    });
    inserted.push(...taken.map(({ id }) => id));
  }
  return inserted;
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

/** The shape under which a row was written is the low part of its version. */
function shapeOf({ version }: RetriedRow): number | undefined {
  return version === null ? undefined : Number(minorOf(BigInt(version)));
}

function byFormat(
  table: TargetTable,
  rows: readonly RetriedRow[],
): readonly (readonly [LineFormat, readonly RetriedRow[]])[] {
  const groups = new Map<string, RetriedRow[]>();
  for (const row of rows) {
    const name = JSON.stringify([row.format, row.columns, shapeOf(row)]);
    groups.set(name, [...(groups.get(name) ?? []), row]);
  }
  return [...groups.values()].map((its) => {
    const [first] = its;
    const shape = columnsOfShape(table, (first && shapeOf(first)) ?? table.shape) ?? table.columns;
    return [{ format: first?.format ?? 'JSONEachRow', columns: first?.columns ?? undefined, shape }, its] as const;
  });
}
