-- The role that pg2click connects as (PG_USER), with no more rights than it needs. Run once in each database whose tables
-- are replicated, with any client, for example
--
--   psql --dbname=shop --file=postgres.sql
--
-- by a superuser, or by a role that may create roles, owns the database and is a member of the roles that own the tables.
-- Harmless to run again. Afterwards give the role a password (\password pg2click), and of each table
--
--   grant usage on schema shop to pg2click;
--   grant select, trigger on table shop.orders to pg2click;
--
-- A partitioned table takes the same of each of its partitions. For those that its owner makes later:
--
--   alter default privileges for role shop_owner in schema shop grant select, trigger on tables to pg2click;
--
-- To poll a table (--capture poll), SELECT is enough, and its sequence needs it too:
--
--   grant select on table shop.events to pg2click;
--   grant select on sequence shop.events_id_seq to pg2click;
--
-- The schema of an enum that is part of a key needs USAGE too.

begin;

-- Another name for the role: here, and nowhere else.
set local pg2click.role = 'pg2click';

do $$
declare
  v_role  name := current_setting('pg2click.role');
  v_owner name;
begin
  begin
    execute format('create role %I login nosuperuser nocreatedb nocreaterole noreplication nobypassrls', v_role);
  exception
    when duplicate_object or unique_violation then null;
  end;
  execute format('grant connect on database %I to %I', current_database(), v_role);

  -- The schema of the ledger and the outboxes is made here, so that the role needs no CREATE on the database.
  select pg_get_userbyid(nspowner) into v_owner from pg_namespace where nspname = 'pg2click';
  if v_owner is null then
    if current_setting('is_superuser') = 'on' then
      execute format('create schema pg2click authorization %I', v_role);
    else
      -- Only a member may make another role the owner of something.
      execute format('grant %I to %I', v_role, current_user);
      execute format('create schema pg2click authorization %I', v_role);
      execute format('revoke %I from %I', v_role, current_user);
    end if;
  elsif v_owner <> v_role then
    raise exception 'Schema pg2click belongs to the role "%", not to "%".', v_owner, v_role
      using hint = 'Remove all tables from pg2click and drop the schema, or name its owner at the top of this script.';
  end if;
end
$$;

-- A trigger fires in sessions that apply changes of elsewhere only when it is enabled ALWAYS or REPLICA, which takes the owner of its
-- table. Two functions do that, and nothing else, in the owner's place: for a trigger with a name of pg2click's, that calls pg2click's
-- function of the same number and event, on a table on which that function's owner may make triggers anyway. On a partitioned table it
-- holds for the copies of the trigger on its partitions too. They live in a schema of the administrator's: whoever owned that could put
-- others in their place.
do $$
declare
  v_owner name;
begin
  select pg_get_userbyid(nspowner) into v_owner from pg_namespace where nspname = 'pg2click_admin';
  if v_owner is null then
    create schema pg2click_admin;
  elsif v_owner <> current_user then
    raise exception 'Schema pg2click_admin belongs to the role "%", not to "%", who runs this.', v_owner, current_user
      using hint = 'Run this script as that role, or drop the schema.';
  end if;
end
$$;

-- The table of such a trigger, as ALTER TABLE takes it.
create or replace function pg2click_admin.table_of_trigger(p_table regclass, p_trigger name) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  v_table text;
begin
  select format('%s %I.%I', case when c.relkind = 'r' then 'only' end, n.nspname, c.relname) into v_table
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  join pg_trigger t on t.tgrelid = c.oid and not t.tgisinternal
  join pg_proc f on f.oid = t.tgfoid
  join pg_namespace s on s.oid = f.pronamespace
  where c.oid = p_table and c.relkind in ('r', 'p')
    and t.tgname = p_trigger and t.tgname ~ '^pg2click_[0-9]+_(insert|update|delete|truncate|truncating|inserted|updated|deleted)$'
    and s.nspname = 'pg2click' and f.proowner = s.nspowner and f.proname = replace(t.tgname, 'pg2click_', 'capture_')
    and has_table_privilege(f.proowner, c.oid, 'trigger');
  if v_table is null then
    raise exception using errcode = 'insufficient_privilege',
      message = format('"%s" is no trigger of pg2click on a table that it may put triggers on', p_trigger);
  end if;
  return v_table;
end
$$;

create or replace function pg2click_admin.enable_always(p_table regclass, p_trigger name) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  execute format('alter table %s enable always trigger %I', pg2click_admin.table_of_trigger(p_table, p_trigger), p_trigger);
end
$$;

create or replace function pg2click_admin.enable_replica(p_table regclass, p_trigger name) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  execute format('alter table %s enable replica trigger %I', pg2click_admin.table_of_trigger(p_table, p_trigger), p_trigger);
end
$$;

revoke all on function pg2click_admin.table_of_trigger(regclass, name), pg2click_admin.enable_always(regclass, name),
  pg2click_admin.enable_replica(regclass, name) from public;

do $$
declare
  v_role name := current_setting('pg2click.role');
begin
  execute format('grant usage on schema pg2click_admin to %I', v_role);
  execute format('grant execute on function pg2click_admin.enable_always(regclass, name) to %I', v_role);
  execute format('grant execute on function pg2click_admin.enable_replica(regclass, name) to %I', v_role);
end
$$;

commit;
