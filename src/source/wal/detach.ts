import type { Queryable } from '../../connect/queryable.js';
import type { Detachment } from '../../domain/slot-state.js';
import { formatTableName, type TableName } from '../../domain/table-name.js';
import { outboxTable } from '../outbox/names.js';
import { inTransaction } from '../transaction.js';
import { unpublish } from './publication.js';

/** Who was moving the table has looked at it since: it looks every minute. */
const EMPTY_AFTER = '2 minutes';
/** An empty one. */
const EMPTY_BYTES = 65_536;
/** One that freezes in the middle lets its locks go. */
const BEGIN_TIDYING = /* sql */ `begin isolation level read committed; set local idle_in_transaction_session_timeout = '30s'`;

/**
 * Takes a table from behind its slot, for good: the slot moves on without it, and only a new copy makes it whole. Who reads begins again
 * without the table. One that triggers fill the outbox of, too, stays: it is on its way from one capture to the other, and its outbox is theirs.
 * @param why the end of a sentence
 * @returns the table; undefined where it stays, or is out already
 */
export async function detach(pg: Queryable, slot: string, id: string, why: string): Promise<string | undefined> {
  const found = await pg.query<TableName>(
    /* sql */ `with candidate as (
      select t.table_id, n.nspname::text as schema, c.relname::text as table
      from pg2click.wal_table t
      join pg_catalog.pg_class c on c.oid = t.relation join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where t.slot = $1 and t.table_id = $2 and t.detached is null and not exists (
        select from pg_catalog.pg_trigger g where g.tgrelid = t.relation and starts_with(g.tgname::text, 'pg2click_' || $2 || '_'))
    ), ended as (
      update pg2click.wal_reader set epoch = epoch + 1 where slot = $1 and exists (select from candidate) returning position
    )
    update pg2click.wal_table t set detached = ended.position, detached_at = clock_timestamp(), detached_why = $3
    from candidate, ended where t.table_id = candidate.table_id and t.detached is null
    returning candidate.schema, candidate.table`,
    [slot, id, why],
  );
  const [table] = found.rows;
  return table === undefined ? undefined : formatTableName(table);
}

/** @param of what their ids are equal to */
export function detachmentsSql(of: string): string {
  return /* sql */ `select table_id::text as id, detached::text as position, detached_why as why,
      to_char(detached_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at
    from pg2click.wal_table where detached is not null and table_id = ${of}`;
}

/** @returns undefined where its changes are read */
export async function readDetachment(pg: Queryable, id: string): Promise<Detachment | undefined> {
  const found = await pg.query<Detachment>(detachmentsSql('$1'), [id]);
  return found.rows[0];
}

/**
 * Gives back what detached tables take: PostgreSQL decodes their changes no more, and their outboxes are emptied. Idempotent; what is
 * locked is left for the next time.
 * @param pg a connection that does not wait long for a lock
 */
export async function tidyDetached(pg: Queryable, slot: string): Promise<void> {
  const found = await pg.query<{ id: string; relation: string; isOld: boolean }>(
    /* sql */ `select table_id::text as id, relation::text as relation,
        detached_at < clock_timestamp() - interval '${EMPTY_AFTER}'
          and coalesce(pg_catalog.pg_table_size(pg_catalog.to_regclass('pg2click.outbox_' || table_id)), 0) > ${EMPTY_BYTES} as "isOld"
      from pg2click.wal_table where slot = $1 and detached is not null`,
    [slot],
  );
  for (const { id, relation, isOld } of found.rows) {
    await whileDetached(pg, id, () => unpublish(pg, slot, relation));
    if (isOld) await whileDetached(pg, id, () => pg.query(/* sql */ `truncate ${outboxTable(id)}`));
  }
}

/** Until the end of `work` nobody takes the table out, or in again: this process may have been frozen since it looked. Never rejects. */
async function whileDetached(pg: Queryable, id: string, work: () => Promise<unknown>): Promise<void> {
  await inTransaction(pg, BEGIN_TIDYING, async () => {
    const found = await pg.query(
      /* sql */ `select from pg2click.wal_table where table_id = $1 and detached is not null for update`,
      [id],
    );
    if (found.rowCount === 1) await work();
  }).catch(() => undefined);
}
