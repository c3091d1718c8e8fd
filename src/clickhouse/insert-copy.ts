import type { ClickHouseClient } from '@clickhouse/client';
import type { TargetTable } from '../domain/replicated-table.js';
import type { RowText } from '../pipeline/row-batch.js';
import { copyInsertSettings } from './insert-settings.js';
import { insertText, type InsertedText, type TextOptions } from './insert-text.js';

export type CopyOptions = Pick<TextOptions, 'signal' | 'onProgress'>;

/**
 * Inserts a copy of a table: COPY text of any length, in blocks of the server's own size.
 * @param rows see `insertText`
 * @throws as `insertText`
 */
export function insertCopy(
  ch: ClickHouseClient,
  table: TargetTable,
  rows: RowText,
  options: CopyOptions,
): Promise<InsertedText> {
  return insertText(ch, table, rows, { ...options, settings: copyInsertSettings(ch) });
}
