-- A role for people and tools that only look: "pg2click status" works with it. Run once in each database, after
-- "pg2click init", by a superuser, or by a member of the role pg2click that may create roles; then give it a password. It
-- sees the ledger and the outboxes, in those the keys of rows that changed a moment ago, and no table of yours.

begin;

-- Other names for the reader, and for the role of the script postgres.sql: here, and nowhere else.
set local pg2click.reader = 'pg2click_reader';
set local pg2click.role = 'pg2click';

do $$
declare
  v_reader name := current_setting('pg2click.reader');
  v_role   name := current_setting('pg2click.role');
begin
  begin
    execute format('create role %I login', v_reader);
  exception
    when duplicate_object or unique_violation then null;
  end;
  execute format('grant connect on database %I to %I', current_database(), v_reader);
  execute format('grant usage on schema pg2click to %I', v_reader);
  execute format('grant select on all tables in schema pg2click to %I', v_reader);
  execute format('grant select on all sequences in schema pg2click to %I', v_reader);
  -- Rows that ClickHouse refused lie there with their values: it sees which there are, and neither keys nor values.
  execute format('revoke all on pg2click.quarantine from %I', v_reader);
  execute format('grant select (id, table_id, stage, loader, connection, target, generation, batch, origin, version, column_name,
    code, format, at, state, closed_at) on pg2click.quarantine to %I', v_reader);
  -- The outboxes of tables that are added later.
  execute format('alter default privileges for role %I in schema pg2click grant select on tables to %I', v_role, v_reader);
  execute format('alter default privileges for role %I in schema pg2click grant select on sequences to %I', v_role, v_reader);
end
$$;

commit;
