import type { Target } from './route.js';

/**
 * Where a row came from that was set aside; it names the row within its stage, and holds no value of the row. Either the place of
 * its message, or the position of the capture at which it was read and a hash of its key. A row of a table that only grows has no
 * position.
 */
export type RowOrigin =
  | { readonly partition: number; readonly offset: string; readonly row: number }
  | { readonly position: string | null; readonly row: string };

/** The rows of a batch that are not inserted, as its name carries them. */
export function holeOf(origin: RowOrigin): string {
  return 'offset' in origin ? `${origin.partition}:${origin.offset}/${origin.row}` : origin.row;
}

/** A row that ClickHouse refuses. */
export interface RefusedRow {
  readonly origin: RowOrigin;
  /** Compact JSON array of the texts of the key columns, in key order; null where they cannot be read. */
  readonly key: string | null;
  /** Decimal; null where the rows of the target have none, or it cannot be read. */
  readonly version: string | null;
  /** The deletion of a row. */
  readonly isTombstone: boolean;
  /** Null where ClickHouse names none. */
  readonly column: string | null;
  /** The error code of ClickHouse. */
  readonly code: number;
  readonly format: 'JSONEachRow' | 'TabSeparated';
  /** Of TabSeparated, in their order. */
  readonly columns: readonly string[] | null;
  /** As it was sent, without a newline. */
  readonly raw: Uint8Array;
}

/** The target that lacks a row, and the loader that it belongs to. */
export interface LackingTarget {
  readonly tableId: string;
  readonly loader: string;
  /** Name of the ClickHouse server in the settings; empty for that of `CH_URL`. */
  readonly connection: string;
  /** `database.table` */
  readonly target: string;
}

export function lackingTarget({
  id,
  loader = 'main',
  connection = '',
  target: { database, table },
}: {
  readonly id: string;
  readonly loader?: string | undefined;
  readonly connection?: string | undefined;
  readonly target: Target;
}): LackingTarget {
  return { tableId: id, loader, connection, target: `${database}.${table}` };
}

/**
 * `superseded`: ClickHouse has the row, or a later version of it, or a TRUNCATE came after it. `retried`: it was inserted when
 * somebody asked for that. `dropped`: somebody decided to do without it.
 */
export const QUARANTINE_STATES = ['open', 'superseded', 'retried', 'dropped'] as const;
export type QuarantineState = (typeof QUARANTINE_STATES)[number];

/** How many rows may be set aside before the table parks instead. */
export interface QuarantineLimits {
  /** Open at once, of one table. 0: none is set aside. */
  readonly rows: number;
  /** Of the rows of a batch, once there are more than `SHARE_FROM` of them. */
  readonly percent: number;
}

/** Fewer rows than these are no sign that all are bad: a batch may hold one row. */
const SHARE_FROM = 100;

/** @param refused rows of a batch; @param open rows of the table that are set aside already */
export function isOverLimit(limits: QuarantineLimits, refused: number, open: number): boolean {
  return refused + open > limits.rows;
}

/** @param rows all of the batch */
export function isOverShare(limits: QuarantineLimits, refused: number, rows: number): boolean {
  return refused > SHARE_FROM && refused * 100 > rows * limits.percent;
}

/** Of one request: they are in the history of the workflow three times. */
export const MOST_IDS = 1_000;

/** Whether a text is the number of a row, as lists show it. */
export function isRowId(text: string): boolean {
  return /^\d{1,18}$/u.test(text);
}
