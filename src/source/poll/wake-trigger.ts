import type { Queryable } from '../../connect/queryable.js';
import { literal, quotePg } from '../../domain/identifier.js';
import { sourceName, type ReplicatedTable } from '../../domain/replicated-table.js';
import { qualified } from '../outbox/names.js';

/** Values of the flag: whether the reader of a table sleeps and wants to be woken. */
export const AWAKE = 1;
export const ASLEEP = 2;

/** The flag is the last value of a sequence, which is not MVCC: a writer under REPEATABLE READ sees it too. */
export function flagOf(id: string): string {
  return `pg2click.${quotePg(`asleep_${id}`)}`;
}

export function wakeFunction(id: string): string {
  return `pg2click.${quotePg(`notify_${id}`)}`;
}

export function wakeTrigger(id: string): string {
  return `pg2click_${id}_notify`;
}

export function channelOf(id: string): string {
  return `pg2click_${id}`;
}

/** A session that never prepares its transactions may set this to `on` on a server that allows it. */
export const OPT_IN = 'pg2click.notify';

/** Notifications wait in a queue of the whole server. Where others have filled it, one more would fail the commit. */
const FULLEST_QUEUE = 0.5;

/**
 * What the trigger does: nothing, as long as the reader is awake. PostgreSQL commits those that notify one after the other, which
 * halves what eight writers commit.
 *
 * It must not fail the user's statement, nor what comes after it. Whatever goes wrong in it is caught. A transaction that has
 * notified cannot be prepared, so where the server allows prepared transactions it keeps quiet unless the session says that it
 * has none.
 * @param flag oid of the flag's sequence: a number costs 3 us less a statement than a name
 */
export function wakeFunctionSql(id: string, flag: string): string {
  const body = /* sql */ `begin
    if pg_sequence_last_value(${flag}::oid) = ${ASLEEP}
      and (current_setting('max_prepared_transactions') = '0' or current_setting('${OPT_IN}', true) = 'on')
      and pg_notification_queue_usage() < ${FULLEST_QUEUE}
    then
      perform pg_notify(${literal(channelOf(id))}, '');
    end if;
    return null;
  exception when others then
    return null;
  end`;
  return /* sql */ `create or replace function ${wakeFunction(id)}() returns trigger
    language plpgsql security definer set search_path = pg_catalog, pg_temp as ${literal(body)}`;
}

/** After the statement, so that the ids are drawn: a reader that set its flag before has then seen them in the sequence. */
export function wakeTriggerSql(table: Pick<ReplicatedTable, 'id' | 'name' | 'source'>): string {
  const { id } = table;
  return /* sql */ `create or replace trigger ${quotePg(wakeTrigger(id))} after insert on ${qualified(sourceName(table))}
    for each statement execute function ${wakeFunction(id)}()`;
}

/** @returns the oid of the flag's sequence, decimal; undefined where it is not there, or this role may not look for it */
export async function findFlag(pg: Queryable, id: string): Promise<string | undefined> {
  const found = await pg.query<{ oid: string }>(
    /* sql */ `select c.oid::text as oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'pg2click' and c.relname = $1 and c.relkind = 'S'`,
    [`asleep_${id}`],
  );
  return found.rows[0]?.oid;
}

/** Sets the flag, and only then looks at the sequence: a writer that saw the old flag had drawn its id before. One round trip. */
export function sleepSql(id: string, sequence: string): string {
  return /* sql */ `${setFlagSql(id, ASLEEP)};
    select coalesce(pg_catalog.pg_sequence_last_value(${sequence}::oid), 0)::text as last`;
}

/** Not worth waiting for the disk: after a crash of PostgreSQL the flag is set again. */
export function setFlagSql(id: string, value: typeof AWAKE | typeof ASLEEP): string {
  return /* sql */ `set local synchronous_commit = off; select pg_catalog.setval(${literal(flagOf(id))}, ${value})`;
}
