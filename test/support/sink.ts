import { createClient, ClickHouseLogLevel } from '@clickhouse/client';
import type { ClickHouseClient } from '@clickhouse/client';
import { afterAll } from 'vitest';
import type { Column, TargetTable } from '../../src/domain/replicated-table.js';
import { clickhouseOptions } from './clients.js';
import { freshName, freshSink } from './stack.js';

export interface TestSink {
  readonly ch: ClickHouseClient;
  readonly database: string;
}

/** A client on an empty ClickHouse database; both are gone after the file's tests. */
export async function openSink(prefix: string): Promise<TestSink> {
  const address = await freshSink(prefix);
  const ch = createClient({
    ...clickhouseOptions(address),
    request_timeout: 300_000,
    log: { level: ClickHouseLogLevel.OFF },
  });
  afterAll(() => ch.close());
  return { ch, database: address.database };
}

export function column(name: string, type: string, more: Partial<Column> = {}): Column {
  return { name, type, position: 0, nullable: false, ...more };
}

/** A target for `public.<table>` with the given columns, keyed by the first. */
export function targetTableOf(
  sink: TestSink,
  columns: readonly Column[],
  more: Partial<TargetTable> = {},
): TargetTable {
  const table = freshName('t');
  return {
    id: '1',
    pipeline: 'default',
    name: { schema: 'public', table },
    generation: 1,
    shape: 1,
    columns: columns.map((one, index) => ({ ...one, position: index + 1 })),
    key: columns.slice(0, 1).map(({ name }) => name),
    target: { database: sink.database, table },
    ...more,
  };
}

/** Rows of a query, every value as JSON gives it. */
export async function rowsOf<Row = Record<string, unknown>>(sink: TestSink, query: string): Promise<Row[]> {
  const result = await sink.ch.query({ query, format: 'JSONEachRow' });
  return await result.json<Row>();
}
