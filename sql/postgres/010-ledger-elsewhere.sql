-- The ledger may lie in another database than the tables (LEDGER_PG_URL). It then serves one source database and no other: its
-- ids name the outboxes there.

create table pg2click.ledger (
  one    boolean primary key default true check (one),
  id     uuid not null default gen_random_uuid(),
  -- the database of the tables, as { server, oid, database }; null where that is this one
  source jsonb
);
insert into pg2click.ledger default values;

alter table pg2click.stage
  -- only where the outbox is in another database: name of the last confirmed batch, whose events may still be there
  add column deleting jsonb;
