import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import type { RowText } from '../pipeline/row-batch.js';
import { insertTimeoutMs } from './insert-deadline.js';
import { liveInsertSettings } from './insert-settings.js';
import { insertText, type InsertedText, type TextOptions } from './insert-text.js';

export interface StreamOptions extends Pick<TextOptions, 'signal' | 'onProgress'> {
  /** 1 for the first try to insert these rows. */
  readonly attempt: number;
}

/**
 * Inserts the rows of a live batch: one block, all of them or none, up to 64 MB.
 * @param rows see `insertText`
 * @throws as `insertText`; Failure `SinkUnavailable` where ClickHouse takes nothing and answers nothing for too long
 */
export function insertStream(
  ch: ClickHouseClient,
  table: TargetTable,
  rows: RowText,
  { attempt, ...options }: StreamOptions,
): Promise<InsertedText> {
  return insertText(ch, table, rows, {
    ...options,
    settings: liveInsertSettings(ch),
    timeoutMs: insertTimeoutMs(attempt),
  });
}
