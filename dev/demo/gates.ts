import type { Client } from 'pg';

/** A small table that is emptied and filled again while it is replicated. */
export const GATES = { schema: 'public', table: 'gates' } as const;

export const GATE_COUNT = 200;

export async function createGates(pg: Client): Promise<void> {
  await pg.query(/* sql */ `create table gates (gate integer primary key, shows text, since timestamptz not null)`);
  await pg.query(fillGates);
}

export const fillGates = /* sql */ `
  insert into gates
  select n, 'gate ' || n, clock_timestamp() from generate_series(1, ${GATE_COUNT}) n`;
