import type { PostgresClient } from '../connect/postgres.js';
import { query } from '../ledger/query.js';

/** A connection of its own, whose locks are free soon after its process is gone. */
export interface LockSession extends AsyncDisposable {
  readonly client: PostgresClient;
  /** How long ago PostgreSQL was started. */
  readonly serverAgeMs: number;
}

/**
 * How soon PostgreSQL ends the session of a worker that is silent. It says something every 0.5 s, unless it is frozen, or its network is
 * cut. The keepalives and the limit of TCP end one whose host is gone while PostgreSQL has something to send.
 */
const LIMITS = {
  idle_session_timeout: '5s',
  tcp_keepalives_idle: '2',
  tcp_keepalives_interval: '1',
  tcp_keepalives_count: '3',
  tcp_user_timeout: '5s',
} as const;

/**
 * Makes a connection fit to hold locks.
 * @returns undefined where a pooler stands in between: locks would be held by its connections, also after the worker has died
 * @throws what `connect` throws; Failure of the ledger
 */
export async function openLockSession(connect: () => Promise<PostgresClient>): Promise<LockSession | undefined> {
  const client = await connect();
  const end = async (): Promise<void> => {
    await client[Symbol.asyncDispose]();
  };
  try {
    const found = await query<{ pid: number; age: number }>(
      client,
      /* sql */ `select pg_backend_pid() as pid,
        1000 * extract(epoch from clock_timestamp() - pg_postmaster_start_time())::float8 as age`,
      [],
    );
    const { pid, age = 0 } = found.rows[0] ?? {};
    // A pooler greets with a number that it has made up. `pg` keeps it, and its types do not know it.
    if ((client as unknown as { readonly processID: number }).processID !== pid) {
      await end();
      return undefined;
    }
    await query(
      client,
      /* sql */ `select set_config(name, value, false) from unnest($1::text[], $2::text[]) as of (name, value)`,
      [Object.keys(LIMITS), Object.values(LIMITS)],
    );
    return { client, serverAgeMs: age, [Symbol.asyncDispose]: end };
  } catch (error) {
    await end();
    throw error;
  }
}
