-- Rows that ClickHouse refuses are set aside here, and their table goes on.

create table pg2click.quarantine (
  id          bigint generated always as identity primary key,
  table_id    bigint not null references pg2click.replicated_table on delete cascade,
  stage       text not null,
  -- the loader whose target lacks the row, and that target: several stages write to one
  loader      text not null,
  connection  text not null,
  target      text not null,
  generation  smallint not null,
  batch       bigint not null,
  -- where it came from, without any value of the row: { partition, offset, row } of a message, { position, row } of a row that is
  -- read from the table, with a hash of its key
  origin      jsonb not null,
  -- compact JSON array of the texts of the key columns, in key order; null where the row has none that can be read
  key         text,
  -- null in targets without versions
  version     numeric,
  column_name text,
  -- the error code of ClickHouse
  code        integer not null,
  -- the bytes of the row as they were sent, in this format of ClickHouse; columns: of TabSeparated. No bytes: it is closed
  format      text not null,
  columns     text[],
  raw         bytea,
  at          timestamptz not null default now(),
  state       text not null default 'open' check (state in ('open', 'superseded', 'retried', 'dropped')),
  closed_at   timestamptz,
  unique (table_id, stage, connection, target, generation, origin)
);

create index quarantine_open on pg2click.quarantine (table_id, id) where state = 'open';
create index quarantine_version on pg2click.quarantine (table_id, version);

-- Who may read all tables of this schema by default, as the role of sql/roles/postgres-reader.sql, sees no value of a row here either.
do $$
declare
  v_role regrole;
begin
  for v_role in
    select distinct acl.grantee::regrole from pg_class c, aclexplode(c.relacl) acl
    where c.oid = 'pg2click.quarantine'::regclass and acl.grantee <> c.relowner and acl.grantee <> 0
  loop
    execute format('revoke all on pg2click.quarantine from %s', v_role);
    execute format('grant select (id, table_id, stage, loader, connection, target, generation, batch, origin, version, column_name,
      code, format, at, state, closed_at) on pg2click.quarantine to %s', v_role);
  end loop;
  -- Who loads with a role of its own, as that of sql/roles/postgres-consumer.sql, sets rows aside.
  for v_role in
    select distinct acl.grantee::regrole from pg_class c, aclexplode(c.relacl) acl
    where c.oid = 'pg2click.stage'::regclass and acl.privilege_type = 'UPDATE' and acl.grantee <> c.relowner and acl.grantee <> 0
  loop
    execute format('grant select, insert, update on pg2click.quarantine to %s', v_role);
  end loop;
end
$$;
