import type { Client } from 'pg';
import type { TableName } from '../../src/domain/table-name.js';
import type { Arena } from './arena.js';
import { waitFor } from './wait-for.js';

/** A table of rows that are written to be looked for. */
export const BEATS: TableName = { schema: 'public', table: 'beats' };

export async function createBeats(pg: Client): Promise<void> {
  await pg.query(
    /* sql */ `create table beats (id bigint generated always as identity primary key, text text not null)`,
  );
}

/**
 * Writes a row now and waits until it can be queried.
 * @returns milliseconds from its commit
 */
export async function beat(arena: Arena, deadlineMs: number): Promise<number> {
  const pg = await waitFor(() => arena.connect(), { deadlineMs, what: 'PostgreSQL', everyMs: 100 });
  const written = await pg.query<{ id: string }>(
    /* sql */ `insert into beats (text) values ('beat') returning id::text`,
  );
  const committedAt = performance.now();
  await pg.end();
  const query = /* sql */ `select count() as n from beats_current where id = ${written.rows[0]?.id}`;
  await waitFor(
    async () => {
      const answer = await arena.clickhouse.query({ query, format: 'JSONEachRow' });
      return Number((await answer.json<{ n: string }>())[0]?.n) === 1;
    },
    { deadlineMs, what: `row ${written.rows[0]?.id} in ClickHouse`, everyMs: 50 },
  );
  return Math.round(performance.now() - committedAt);
}
