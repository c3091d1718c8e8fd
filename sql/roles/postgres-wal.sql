-- What --capture wal needs beside postgres.sql: run after it, in each database whose tables are captured from the WAL, by the same
-- administrator. Who gives the attribute REPLICATION is a superuser, or a role that has it and CREATEROLE. Harmless to run again.
--
--   psql --dbname=shop --file=postgres-wal.sql
--
-- The role reads the WAL of published tables. Of each table it needs SELECT and no TRIGGER:
--
--   grant usage on schema shop to pg2click;
--   grant select on table shop.orders to pg2click;
--
-- A managed service may give REPLICATION in another way, such as "grant rds_replication to pg2click": then do that, and take the line
-- with "replication" out here.

begin;

-- The role of postgres.sql: here, and nowhere else.
set local pg2click.role = 'pg2click';

do $$
begin
  execute format('alter role %I replication', current_setting('pg2click.role'));
end
$$;

-- A table is published by its owner. These functions do that in the owner's place, for publications of pg2click, and for tables whose
-- rows the role may read anyway.
create or replace function pg2click_admin.make_publication(p_publication name) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_publication !~ '^pg2click_[0-9a-f]{8}$' then
    raise exception using errcode = 'insufficient_privilege', message = format('"%s" is no publication of pg2click', p_publication);
  end if;
  if exists (select from pg_publication where pubname = p_publication) then
    execute format('drop publication %I', p_publication);
  end if;
  execute format('create publication %I with (publish = %L, publish_via_partition_root = true)',
    p_publication, 'insert, update, delete, truncate');
end
$$;

create or replace function pg2click_admin.publish(p_table regclass, p_publication name) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_publication !~ '^pg2click_[0-9a-f]{8}$' or not has_table_privilege(session_user, p_table, 'select') then
    raise exception using errcode = 'insufficient_privilege', message = format('role "%s" may not publish %s in %s', session_user, p_table, p_publication);
  end if;
  execute format('alter publication %I add table only %s', p_publication, p_table);
end
$$;

create or replace function pg2click_admin.unpublish(p_table regclass, p_publication name) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_publication !~ '^pg2click_[0-9a-f]{8}$' then
    raise exception using errcode = 'insufficient_privilege', message = format('"%s" is no publication of pg2click', p_publication);
  end if;
  execute format('alter publication %I drop table only %s', p_publication, p_table);
end
$$;

create or replace function pg2click_admin.drop_publication(p_publication name) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if p_publication !~ '^pg2click_[0-9a-f]{8}$' then
    raise exception using errcode = 'insufficient_privilege', message = format('"%s" is no publication of pg2click', p_publication);
  end if;
  execute format('drop publication if exists %I', p_publication);
end
$$;

revoke all on function pg2click_admin.make_publication(name), pg2click_admin.publish(regclass, name),
  pg2click_admin.unpublish(regclass, name), pg2click_admin.drop_publication(name) from public;

do $$
declare
  v_role name := current_setting('pg2click.role');
begin
  execute format('grant usage on schema pg2click_admin to %I', v_role);
  execute format('grant execute on function pg2click_admin.make_publication(name), pg2click_admin.publish(regclass, name),
    pg2click_admin.unpublish(regclass, name), pg2click_admin.drop_publication(name) to %I', v_role);
  -- A slot on a standby (PostgreSQL 16 and later) waits for the record that it writes, 15 s without it.
  if to_regprocedure('pg_catalog.pg_log_standby_snapshot()') is not null then
    execute format('grant execute on function pg_catalog.pg_log_standby_snapshot() to %I', v_role);
  end if;
end
$$;

commit;
