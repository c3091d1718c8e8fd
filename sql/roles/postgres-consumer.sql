-- A role for workers that only load ("pg2click worker --role consumer", near ClickHouse): it confirms batches in the ledger
-- and sees no table and no outbox. Run once in each database, after "pg2click init", by a superuser, or by a member of the
-- role pg2click that may create roles; then give it a password. Where the ledger has a database of its own (LEDGER_PG_URL), run it
-- there; in the database with the tables such a worker needs nothing but CONNECT.
-- Tables with --payload key are read by who loads them. For each of these, in the database with the tables, by its owner:
--   grant usage on schema S to pg2click_consumer; grant select on S.T to pg2click_consumer;

begin;

-- Another name for the role: here, and nowhere else.
set local pg2click.consumer = 'pg2click_consumer';

do $$
declare
  v_consumer name := current_setting('pg2click.consumer');
begin
  begin
    execute format('create role %I login', v_consumer);
  exception
    when duplicate_object or unique_violation then null;
  end;
  execute format('grant connect on database %I to %I', current_database(), v_consumer);
  execute format('grant usage on schema pg2click to %I', v_consumer);
  execute format('grant select on pg2click.replicated_table, pg2click.shape, pg2click.migration, pg2click.ledger to %I', v_consumer);
  execute format('grant select, update on pg2click.stage to %I', v_consumer);
  execute format('grant select, insert, update on pg2click.quarantine to %I', v_consumer);
  execute format('grant select, insert, delete on pg2click.worker to %I', v_consumer);
end
$$;

commit;
