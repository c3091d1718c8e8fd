import type { ClickHouseClient } from '@clickhouse/client';
import { columnType } from '../domain/column-type.js';
import { physicalName, type Column } from '../domain/replicated-table.js';
import { classifyClickHouse } from '../failure/classify-clickhouse.js';
import { readingSettings } from './insert-settings.js';
import { quoteText } from './names.js';

/**
 * The definition of a column of a target: its type, and as its DEFAULT what rows of before it have. ClickHouse reads that value from the
 * same text, in the same way, as it reads those of rows.
 */
export async function columnSql(ch: ClickHouseClient, column: Column): Promise<string> {
  const type = columnType(column).clickhouse(column);
  if (column.missing === undefined) return type;
  const text = await readValue(ch, type, column.missing, `reading the default of column ${physicalName(column)}`);
  return `${type} default cast(${quoteText(text)}, ${quoteText(type)})`;
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
