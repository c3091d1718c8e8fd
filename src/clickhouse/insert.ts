import { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import { quoteCh } from '../domain/identifier.js';
import { Failure } from '../failure/failure.js';
import { insertTimeoutMs, noAnswer } from './insert-deadline.js';
import { namedInsertSettings } from './insert-settings.js';
import { joinLines } from './join-lines.js';
import { targetNames } from './names.js';
import { sendInsert } from './send.js';

/** ClickHouse's name for the format of the rows. */
export type InsertFormat = 'JSONEachRow' | 'TabSeparated';

export interface InsertRequest {
  /** Lines, or blocks of several; none ends with a newline. */
  readonly values: readonly Buffer[];
  /** `JSONEachRow` by default. */
  readonly encoding?: InsertFormat | undefined;
  /** The columns of TabSeparated lines, in their order. JSON names its own. */
  readonly columns?: readonly string[] | undefined;
  /** Names the content: a repeat of it inside the table's window is dropped, views included. */
  readonly token: string;
  readonly signal: AbortSignal;
  /** 1, the default, for the first try to insert these values. */
  readonly attempt?: number | undefined;
}

/**
 * Inserts the values as they are, unparsed, as one block: all of them or none.
 *
 * @throws Failure `RowRefused`, `SchemaMismatch`, `SinkBusy`, `SinkUnavailable` (the outcome is unknown: send the same
 *   values under the same token), `SinkSetBack` (the table is gone); the signal's reason when it is aborted
 */
export async function insertValues(ch: ClickHouseClient, table: TargetTable, request: InsertRequest): Promise<void> {
  const { values, encoding = 'JSONEachRow', columns, token, signal, attempt = 1 } = request;
  if (values.length === 0) return;
  const names = targetNames(table.target);
  const timeoutMs = insertTimeoutMs(attempt);
  const deadline = AbortSignal.timeout(timeoutMs);
  // JSON goes without a list of columns: with hundreds of long names it would outgrow what servers take in a URL.
  const list = columns === undefined ? '' : ` (${columns.map(quoteCh).join(', ')})`;
  const query = /* sql */ `insert into ${names.sql.table}${list} format ${encoding}`;
  const settings = await namedInsertSettings(ch, token);
  try {
    const body = Readable.from(joinLines(values), { objectMode: false });
    await sendInsert(ch, table, { query, body, settings, signal: AbortSignal.any([signal, deadline]) });
  } catch (error) {
    if (signal.aborted || !deadline.aborted) throw error;
    throw new Failure('SinkUnavailable', { message: noAnswer(names.shown, timeoutMs) });
  }
}
