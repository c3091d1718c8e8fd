-- The role that pg2click connects as to a ledger in a database of its own (LEDGER_PG_URL), with no more rights than it needs. Run
-- once in that database, with any client, for example
--
--   psql --dbname=pg2click_ledger --file=ledger.sql
--
-- by a superuser, or by a role that may create roles and owns the database. Harmless to run again. Afterwards give the role a
-- password (\password pg2click_ledger), and run "pg2click init". The database with the tables keeps the role of postgres.sql.

begin;

-- Another name for the role: here, and nowhere else.
set local pg2click.role = 'pg2click_ledger';

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

  -- The schema of the ledger is made here, so that the role needs no CREATE on the database.
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
      using hint = 'Name its owner at the top of this script, or use another database.';
  end if;
end
$$;

commit;
