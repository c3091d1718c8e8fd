-- A table may have several loaders, each with a target of its own. The index that kept two tables from one target knew the first loader
-- only; a trigger keeps the targets of all loaders in a table of their own, whose key does that.

drop index pg2click.table_target;

create table pg2click.target (
  table_id   bigint not null references pg2click.replicated_table on delete cascade,
  loader     text not null,
  pipeline   text not null,
  -- name of the ClickHouse server in the settings; empty for that of CH_URL
  connection text not null,
  database   text not null,
  "table"    text not null,
  constraint table_target primary key (pipeline, connection, database, "table")
);

create function pg2click.keep_targets() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  delete from pg2click.target t where t.table_id = new.id;
  insert into pg2click.target (table_id, loader, pipeline, connection, database, "table")
  select new.id, loader ->> 'name', new.pipeline, coalesce(loader ->> 'connection', ''),
         loader #>> '{target,database}', loader #>> '{target,table}'
  from jsonb_array_elements(new.definition #> '{route,loaders}') loader;
  return null;
end
$$;
create trigger keep_targets after insert or update of definition, pipeline on pg2click.replicated_table
  for each row execute function pg2click.keep_targets();

-- Fires the trigger for the tables that are there.
update pg2click.replicated_table set definition = definition;
