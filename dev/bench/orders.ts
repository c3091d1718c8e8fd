import type { ClientBase } from 'pg';
import type { ReplicatedTable } from '../../src/domain/replicated-table.js';
import { findTable } from '../../src/ledger/tables.js';

const FILL_ROWS = 10_000;
/** PG2CLICK_PIPELINE by default. */
const PIPELINE = 'default';

/** Ten columns of the types that tables have. */
export async function createOrders(pg: ClientBase, table: string): Promise<void> {
  await pg.query(/* sql */ `create table ${table} (
    id bigint primary key, customer integer not null, status text not null, total numeric(12,2) not null,
    paid boolean not null, placed timestamptz not null, shipped timestamp, weight double precision, note varchar(80),
    tracking uuid not null)`);
}

/** One statement, and so one commit where none is open. */
export async function insertOrders(pg: ClientBase, table: string, from: number, to: number): Promise<void> {
  await pg.query({
    name: `insert ${table}`,
    text: /* sql */ `insert into ${table} select i, i % 1000, 'shipped', (i % 100000) / 100.0, i % 2 = 0, now(),
      now()::timestamp, i / 7.0, 'a note of some seventy letters, as people leave them with their orders', gen_random_uuid()
      from generate_series($1::bigint, $2::bigint) i`,
    values: [from, to],
  });
}

/** Rows 1 to `rows`. */
export async function fillOrders(
  pg: ClientBase,
  table: string,
  rows: number,
  options: { readonly signal: AbortSignal; readonly onProgress?: (rows: number) => void },
): Promise<void> {
  for (let from = 1; from <= rows; from += FILL_ROWS) {
    options.signal.throwIfAborted();
    const to = Math.min(rows, from + FILL_ROWS - 1);
    await insertOrders(pg, table, from, to);
    options.onProgress?.(to);
  }
}

export async function rowBytes(pg: ClientBase, table: string): Promise<number> {
  const found = await pg.query<{ bytes: number }>(
    /* sql */ `select (avg(pg_column_size(o.*)))::int as bytes from (select * from ${table} limit 1000) o`,
  );
  return found.rows[0]?.bytes ?? 0;
}

/** @throws Error where the table is not replicated */
export async function replicaOf(pg: ClientBase, table: string): Promise<ReplicatedTable> {
  const replica = await findTable(pg, PIPELINE, { schema: 'public', table });
  if (replica === undefined) throw new Error(`${table} is not replicated`);
  return replica;
}
