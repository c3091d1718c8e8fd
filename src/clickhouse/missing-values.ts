import type { ClickHouseClient } from '@clickhouse/client';
import { byPosition, columnType } from '../domain/column-type.js';
import { quoteCh } from '../domain/identifier.js';
import { physicalName, type Column } from '../domain/replicated-table.js';
import { classifyClickHouse } from '../failure/classify-clickhouse.js';
import { readingSettings } from './insert-settings.js';
import { quoteText } from './names.js';

/**
 * The definition of a column of a target: its type, its codec, and as its DEFAULT what rows of before it have. ClickHouse reads that value from the
 * same text, in the same way, as it reads those of rows.
 */
export async function columnSql(ch: ClickHouseClient, column: Column): Promise<string> {
  const type = columnType(column).clickhouse(column);
  const codec = column.codec === undefined ? '' : ` codec(${column.codec}\n)`;
  if (column.missing === undefined) return `${type}${codec}`;
  const text = await readValue(ch, type, column.missing, `reading the default of column ${physicalName(column)}`);
  return `${type} default cast(${quoteText(text)}, ${quoteText(type)})${codec}`;
}

/** The user's columns of a target that is made, in their order: messages of older shapes lack columns that were added. */
export async function columnDefinitions(ch: ClickHouseClient, columns: readonly Column[]): Promise<string[]> {
  const definitions: string[] = [];
  for (const column of byPosition(columns))
    definitions.push(`${quoteCh(physicalName(column))} ${await columnSql(ch, column)}`);
  return definitions;
}

async function readValue(ch: ClickHouseClient, type: string, copied: string, what: string): Promise<string> {
  const structure = quoteText(`value ${type}`);
  const query = /* sql */ `select toString(value) as text from format(TabSeparated, ${structure}, ${quoteText(`${copied}\n`)})`;
  try {
    const result = await ch.query({ query, format: 'JSONEachRow', clickhouse_settings: await readingSettings(ch) });
    const [row] = await result.json<{ text: string }>();
    return row?.text ?? '';
  } catch (error) {
    throw classifyClickHouse(error, what);
  }
}
