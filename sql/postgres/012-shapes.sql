-- Every form that the columns of a table had since it was added: messages of an older form are loaded by what is here. The last one is
-- also in pg2click.replicated_table. A table whose columns never changed has no row.

create table pg2click.shape (
  table_id   bigint not null references pg2click.replicated_table on delete cascade,
  shape      integer not null check (shape >= 1),
  -- of the table when the shape was noted: with the number it is the name of the shape in ClickHouse
  generation smallint not null,
  -- see Column in src/domain/replicated-table.ts
  columns    jsonb not null,
  -- follow: nothing is read again; copy: the first loads begin again with it
  class      text not null check (class in ('follow', 'copy')),
  -- for people; empty for the first one
  change     text not null,
  noted_at   timestamptz not null default now(),
  primary key (table_id, shape)
);
