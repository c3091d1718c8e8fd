import { Readable } from 'node:stream';
import type { ClickHouseClient } from '@clickhouse/client';
import type { Column, TargetTable } from '../domain/replicated-table.js';
import { Failure } from '../failure/failure.js';
import { insertTimeoutMs, noAnswer } from './insert-deadline.js';
import { mappedInsertSettings, namedInsertSettings } from './insert-settings.js';
import { joinLines } from './join-lines.js';
import { targetNames } from './names.js';
import { sendInsert } from './send.js';
import { valuesQuery } from './values-query.js';

/** ClickHouse's name for the format of the rows. */
export type InsertFormat = 'JSONEachRow' | 'TabSeparated';

export interface InsertRequest {
  /** Lines, or blocks of several; none ends with a newline. */
  readonly values: readonly Buffer[];
  /** `JSONEachRow` by default. */
  readonly encoding?: InsertFormat | undefined;
  /** The names of TabSeparated lines, in their order. JSON names its own. */
  readonly names?: readonly string[] | undefined;
  /** The columns of the table when the values were written; those of the table when absent. */
  readonly columns?: readonly Column[] | undefined;
  /** See `ValuesForm`. */
  readonly existing?: ReadonlySet<string> | undefined;
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
  const { values, encoding = 'JSONEachRow', token, signal, attempt = 1 } = request;
  if (values.length === 0) return;
  const { shown } = targetNames(table.target);
  const timeoutMs = insertTimeoutMs(attempt);
  const deadline = AbortSignal.timeout(timeoutMs);
  const { names, columns = table.columns, existing } = request;
  const { query, mapped } = valuesQuery(table, { encoding, names, columns, existing });
  const settings = await (mapped ? mappedInsertSettings(ch, token) : namedInsertSettings(ch, token));
  try {
    const body = Readable.from(joinLines(values), { objectMode: false });
    await sendInsert(ch, table, { query, body, settings, signal: AbortSignal.any([signal, deadline]) });
  } catch (error) {
    if (signal.aborted || !deadline.aborted) throw error;
    throw new Failure('SinkUnavailable', { message: noAnswer(shown, timeoutMs) });
  }
}
