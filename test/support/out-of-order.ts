import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { seededRandom } from '../../dev/demo/random.js';
import { freshName } from './stack.js';

/** What the transactions of a run did. */
export interface OutOfOrder {
  readonly committed: number;
  readonly rolledBack: number;
  /** Committed long after their last row. */
  readonly late: number;
  /** With ids that were drawn up to 2 s before the transaction began. */
  readonly drawnBefore: number;
  readonly prepared: number;
}

export interface OutOfOrderOptions {
  /** One for each writer, and one more for the transaction that is prepared. */
  readonly connect: () => Promise<pg.Client>;
  readonly writers: number;
  readonly milliseconds: number;
  readonly seed: number;
  /** The time between two transactions of a writer, at most. */
  readonly restMs?: number;
  /** How long the late ones and the prepared one stay open; 5 s by default. */
  readonly lateMs?: number;
  /** Of a hundred transactions, how many have ids that were drawn before; 12 by default. */
  readonly drawn?: number;
}

/**
 * Inserts into a table `(id bigserial, writer int, name text)` from several sessions, so that transactions commit in another
 * order than their ids have: some of them late, some never, one of them in two phases.
 */
export async function writeOutOfOrder(table: string, options: OutOfOrderOptions): Promise<OutOfOrder> {
  const { connect, writers, milliseconds, seed, restMs = 30, lateMs = 5_000, drawn = 12 } = options;
  const counts = { committed: 0, rolledBack: 0, late: 0, drawnBefore: 0, prepared: 0 };
  const endAt = Date.now() + milliseconds;

  const write = async (writer: number): Promise<void> => {
    const client = await connect();
    const random = seededRandom(seed * 1_000 + writer);
    const insert = `insert into ${table} (writer, name) select ${writer}, repeat('x', n) from generate_series(1, ${1 + random.below(5)}) n`;
    while (Date.now() < endAt) {
      const kind = random.below(100);
      if (kind < 10) {
        await client.query(`begin; ${insert}; rollback`);
        counts.rolledBack += 1;
      } else if (kind < 13) {
        await client.query(`begin; ${insert}`);
        await sleep(lateMs);
        await client.query('commit');
        counts.late += 1;
      } else if (kind < 13 + drawn) {
        const id = await client.query<{ id: string }>(`select nextval('${table}_id_seq')::text as id`);
        await sleep(random.below(kind === 13 ? 2_000 : 100));
        await client.query(`insert into ${table} (id, writer, name) values (${id.rows[0]?.id}, ${writer}, 'drawn')`);
        counts.drawnBefore += 1;
      } else {
        await client.query(`begin; ${insert}`);
        await sleep(random.below(20));
        await client.query('commit');
        counts.committed += 1;
      }
      await sleep(random.below(restMs));
    }
  };

  const prepare = async (): Promise<void> => {
    const client = await connect();
    await client.query('set pg2click.notify = off');
    const gid = freshName('gid');
    await sleep(milliseconds / 4);
    await client.query(
      `begin; insert into ${table} (writer, name) values (-1, 'prepared'); prepare transaction '${gid}'`,
    );
    await sleep(Math.min(lateMs, milliseconds / 2));
    await client.query(`commit prepared '${gid}'`);
    counts.prepared += 1;
  };

  await Promise.all([...Array.from({ length: writers }, (_, writer) => write(writer)), prepare()]);
  return counts;
}
