create table source_table (
  id bigserial primary key,
  name text,
  value double precision
);
