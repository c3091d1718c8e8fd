-- For notify.py: every new row says so on the channel new_data.
create function notify_new_data() returns trigger language plpgsql as $$
begin
  perform pg_notify('new_data', new.id::text);
  return null;
end $$;

create trigger source_table_notify after insert on source_table
  for each row execute function notify_new_data();
