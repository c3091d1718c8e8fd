import type { Queryable } from '../connect/queryable.js';

/**
 * Runs `work` in a transaction of the connection, and rolls back what it did when it throws.
 * @param begin `begin` with its options, and `set local` statements after it
 */
export async function inTransaction<T>(pg: Queryable, begin: string, work: () => Promise<T>): Promise<T> {
  await pg.query(begin);
  try {
    const result = await work();
    await pg.query('commit');
    return result;
  } catch (error) {
    // The first error is the one to tell; a connection that is gone rolled back by itself.
    await pg.query('rollback').catch(() => undefined);
    throw error;
  }
}
