-- For producer.py: every new row is written into events_table too, as JSON.
create table events_table (
  id bigserial primary key,
  payload jsonb not null,
  created_at timestamptz not null default now(),
  sent boolean not null default false
);

create function save_event() returns trigger language plpgsql as $$
begin
  insert into events_table (payload) values (to_jsonb(new));
  return null;
end $$;

create trigger source_table_event after insert on source_table
  for each row execute function save_event();
