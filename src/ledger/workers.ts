import type { TableName } from '../domain/table-name.js';
import type { Queryable } from '../connect/queryable.js';
import { query } from './query.js';

/** The first key of every worker's advisory lock: "pg2click" on a telephone's keys. The second is the number of its row. */
const LOCKS = 7_422_5425;

/** A row of `pg2click.worker`. */
export interface WorkerRow {
  readonly id: number;
  /** As Temporal shows it. */
  readonly name: string;
}

/**
 * Enters a worker, and takes its session lock: the row is seen only when the lock is held. A row of an earlier session of the same
 * worker goes.
 * @param session a connection of its own, kept as long as the worker lives
 * @returns the number of its row
 */
export async function enterWorker(
  session: Queryable,
  { name, deployment }: { readonly name: string; readonly deployment: string },
): Promise<number> {
  const entered = await query<{ id: number }>(
    session,
    /* sql */ `with own as (insert into pg2click.worker (name, deployment) values ($1, $2) returning id),
        older as (delete from pg2click.worker where name = $1)
      select id, pg_catalog.pg_advisory_lock(${LOCKS}, id) from own`,
    [name, deployment],
  );
  return entered.rows[0]?.id ?? 0;
}

/**
 * Workers of a deployment that do not hold their locks at this moment. To try a lock costs PostgreSQL less than to list all locks of the
 * server, and who tries it holds it to the end of the statement only.
 * @param except rows whose locks the session has itself
 */
export async function findUnlocked(
  session: Queryable,
  deployment: string,
  except: readonly number[],
): Promise<readonly WorkerRow[]> {
  const found = await query<WorkerRow>(
    session,
    /* sql */ `with others as materialized (select id, name from pg2click.worker where deployment = $1 and id <> all($2::int[]))
      select id, name from others where pg_catalog.pg_try_advisory_xact_lock(${LOCKS}, id)`,
    [deployment, except],
  );
  return found.rows;
}

/** Takes the locks of workers that are gone, so that no other worker does what the caller is about to do. @returns those that it got */
export async function takeLocks(session: Queryable, ids: readonly number[]): Promise<readonly WorkerRow[]> {
  const taken = await query<WorkerRow>(
    session,
    /* sql */ `with lost as materialized (select id, name from pg2click.worker where id = any($1))
      select id, name from lost where pg_catalog.pg_try_advisory_lock(${LOCKS}, id)`,
    [ids],
  );
  // That statement may have seen a worker whom another one took over, forgot and gave back while it went on.
  const locked = taken.rows.map(({ id }) => id);
  const there = await query<WorkerRow>(session, /* sql */ `select id, name from pg2click.worker where id = any($1)`, [
    locked,
  ]);
  const forgotten = locked.filter((id) => !there.rows.some((row) => row.id === id));
  if (forgotten.length > 0) await giveLocks(session, forgotten, { forget: false });
  return there.rows;
}

/** Gives the locks back, of `takeLocks` or its own. @param forget the rows go too */
export async function giveLocks(
  session: Queryable,
  ids: readonly number[],
  { forget }: { readonly forget: boolean },
): Promise<void> {
  if (forget) await query(session, /* sql */ `delete from pg2click.worker where id = any($1)`, [ids]);
  await query(
    session,
    /* sql */ `select pg_catalog.pg_advisory_unlock(${LOCKS}, id) from pg_catalog.unnest($1::int[]) id`,
    [ids],
  );
}

/** Every table of a pipeline, also one that is being prepared or removed. */
export async function listNames(pg: Queryable, pipeline: string): Promise<readonly TableName[]> {
  const found = await query<TableName>(
    pg,
    /* sql */ `select schema_name as schema, table_name as "table" from pg2click.replicated_table where pipeline = $1`,
    [pipeline],
  );
  return found.rows;
}
