import pg from 'pg';
import type { Queryable } from './queryable.js';

/** Runs `work` on one connection: a pool lends one, and gets it back unless `work` failed. */
export async function onOneConnection<T>(from: Queryable, work: (connection: Queryable) => Promise<T>): Promise<T> {
  if (!(from instanceof pg.Pool)) return work(from);
  const client = await from.connect();
  try {
    const result = await work(client);
    client.release();
    return result;
  } catch (error) {
    client.release(true);
    throw error;
  }
}
