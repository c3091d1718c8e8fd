import type { Client } from 'pg';

/** A table of which every change is kept, and beside it what its triggers saw: in the order in which each transaction did it. */
export async function createAudited(pg: Client, table: string): Promise<void> {
  await pg.query(`
    create table ${table} (id bigint primary key, n bigint not null, text text not null);
    alter table ${table} replica identity full;
    create table ${table}_audit (seq bigserial primary key, xid xid8 not null, op text, id bigint, n bigint, text text);
    create function ${table}_note() returns trigger language plpgsql as $$
    declare
      x xid8 := pg_current_xact_id();
    begin
      if tg_op = 'INSERT' or (tg_op = 'UPDATE' and new.id <> old.id) then
        if tg_op = 'UPDATE' then
          insert into ${table}_audit (xid, op, id, n, text) values (x, 'delete', old.id, old.n, old.text);
        end if;
        insert into ${table}_audit (xid, op, id, n, text) values (x, 'insert', new.id, new.n, new.text);
      elsif tg_op = 'UPDATE' then
        insert into ${table}_audit (xid, op, id, n, text) values (x, 'update', new.id, new.n, new.text);
      else
        insert into ${table}_audit (xid, op, id, n, text) values (x, 'delete', old.id, old.n, old.text);
      end if;
      return null;
    end $$;
    create trigger note after insert or update or delete on ${table} for each row execute function ${table}_note()`);
}

/**
 * What the log of the table should say of the transactions that it has, a line each, in the order of their xids: how many changes, and a hash
 * of them in their order.
 */
export async function auditOf(pg: Client, table: string): Promise<readonly string[]> {
  const found = await pg.query<{ line: string }>(`
    select xid || ' ' || count(*) || ' ' || md5(string_agg(op || ' ' || id || ' ' || n || ' ' || text, ',' order by seq)) as line
    from ${table}_audit group by xid order by xid`);
  return found.rows.map(({ line }) => line);
}

/** The same of the log, as a query of ClickHouse. */
export function logAuditSql(target: string): string {
  return `select concat(toString(_xid), ' ', toString(count()), ' ', lower(hex(MD5(arrayStringConcat(
      arrayMap(row -> row.2, arraySort(groupArray((_seq, concat(toString(_op), ' ', toString(id), ' ', toString(n), ' ', text))))), ','))))) as line
    from ${target} where _op != 'snapshot' group by _xid order by _xid`;
}

/** How many rows of a log are not in the order of the commits, or have the number of another one. */
export function disorderSql(target: string): string {
  return `select countIf(_lsn < before) + count() - uniqExact(_seq) from (
    select _seq, _lsn, lagInFrame(_lsn) over (order by _seq rows between unbounded preceding and current row) as before
    from ${target} where _op != 'snapshot')`;
}
