import type { Client } from 'pg';
import type { TableName } from '../../src/domain/table-name.js';
import type { Harness } from './harness.js';
import { waitFor } from './wait-for.js';

/** A table of rows that are written to be looked for. */
export const LATENCY_TABLE: TableName = { schema: 'public', table: 'latency' };

export async function createLatencyTable(pg: Client): Promise<void> {
  await pg.query(
    /* sql */ `create table latency (id bigint generated always as identity primary key, text text not null)`,
  );
}

/**
 * Writes a row now and waits until it can be queried.
 * @returns milliseconds from its commit
 */
export async function measureLatency(harness: Harness, deadlineMs: number): Promise<number> {
  const pg = await waitFor(() => harness.connect(), { deadlineMs, what: 'PostgreSQL', everyMs: 100 });
  const written = await pg.query<{ id: string }>(
    /* sql */ `insert into latency (text) values ('probe') returning id::text`,
  );
  const committedAt = performance.now();
  await pg.end();
  const query = /* sql */ `select count() as n from latency_current where id = ${written.rows[0]?.id}`;
  await waitFor(
    async () => {
      const answer = await harness.clickhouse.query({ query, format: 'JSONEachRow' });
      return Number((await answer.json<{ n: string }>())[0]?.n) === 1;
    },
    { deadlineMs, what: `row ${written.rows[0]?.id} in ClickHouse`, everyMs: 50 },
  );
  return Math.round(performance.now() - committedAt);
}
